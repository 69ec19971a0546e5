"""`zoo export`: write a trained model as an ONNX file, a torch program or a folder for timm, proven on real images.

In: a finished run and the options of the export. Out: a file or folder, and an `export.json` that says how far the export is
from the live model in probabilities, accuracy and speed. An export that differs too much is never left behind.

Read in this order: formats (the options), subject (the model), target (the path), export (all steps); onnx_network,
onnx_pixels, low_precision; torch_program; timm_folder and model_card; proof_images, paired, proof.
"""
