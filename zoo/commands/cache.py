"""`zoo cache`: show and free the disk space of decoded images."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zoo.data.store_cache import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo cache`."""
    parser.add_argument("--clear", action="store_true", help="remove all that no running process uses")


def run(options: argparse.Namespace) -> int:
    """Print a table of the pixel stores, or remove those that are not in use.

    Raises:
        ZooError: ZOO_CACHE_LIMIT is not a size.
    """
    from zoo.data import store_cache
    from zoo.system.files import cache_root

    found, left = store_cache.stores(), store_cache.leftovers()
    place = cache_root() / "pixels"
    if options.clear:
        freed = 0
        used = []
        for store in found:
            if store.remove():
                freed += store.size
            else:
                used.append(store)
        freed += store_cache.remove_leftovers()
        kept = f"; kept {len(used)} in use ({sum(store.size for store in used) / 1e6:,.0f} MB)" if used else ""
        print(f"freed {freed / 1e6:,.0f} MB in {place}{kept}")
        return 0
    for text in table(found):
        print(text)
    total = sum(store.size for store in found)
    count = f"{len(found)} pixel store{'s' * (len(found) != 1)}"
    print(f"{count}, {total / 1e6:,.0f} MB of at most {store_cache.limit() / 1e6:,.0f} MB, in {place}")
    if left:
        print(f"{len(left)} half-written, removed by --clear")
    return 0


def table(found: list[Store]) -> list[str]:
    """Return the lines of the table of stores, the most recently used first; none where there are no stores."""
    from zoo.system.table import MISSING, Column, align

    def used(store: Store) -> str:
        date = time.strftime("%Y-%m-%d %H:%M", time.localtime(store.used))
        return f"{date} (in use)" if store.in_use() else date

    columns = [
        Column("images of", lambda store: store.source or MISSING, left=True),
        Column("images", lambda store: f"{store.images:,}"),
        Column("side px", lambda store: store.side),
        Column("MB", lambda store: f"{store.size / 1e6:,.1f}"),
        Column("last used", used, left=True),
    ]
    return align(list(reversed(found)), columns, gap="  ") if found else []
