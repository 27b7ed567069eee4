"""One chip, one file. README.md in this folder is the contract that every driver here keeps."""
