"""The stages of dvc.yaml: `python -m pipeline.STAGE NAME`, from the project's root; it runs without DVC too."""

from memorability.core import compiler, kernels

kernels.start()  # before a stage imports NumPy or torch
compiler.defer()
