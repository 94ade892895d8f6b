"""The stages of dvc.yaml: `python -m pipeline.STAGE NAME`, from the project's root; it runs without DVC too."""
