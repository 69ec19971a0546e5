"""stub"""
def curves(*a, **k): pass
def confusion(*a, **k): pass
