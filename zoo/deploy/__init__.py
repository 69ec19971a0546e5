"""A trained model for other programs: an ONNX file, a torch program or a folder for timm, each proven on real images.

In goes a finished run and what the file is to be; out comes a file or folder beside which `export.json` says how far it
is from the live model, in probabilities, accuracy and speed. A file that is too far off is never left behind.

Read in this order: formats (the choices), subject (what is exported), target (where to), export (all steps); onnx_network,
onnx_pixels, low_precision; torch_program; timm_folder and model_card; proof_images, paired, proof.
"""
