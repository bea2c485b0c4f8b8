"""The commands of `mmdecouple NAME`, one file each; the files of `tools/` call them too."""
