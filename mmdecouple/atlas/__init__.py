"""Atlas of real networks: networks that PyPI packages hold, measured with the instruments of this package."""
