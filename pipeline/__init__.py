"""The stages of dvc.yaml: `python -m pipeline.STAGE NAME`, from the repository's root.

Only these files know the repository's paths and read params.yaml.
"""
