"""Measures and draws cut masks, as `mmdecouple masks` does."""

from mmdecouple.commands.masks import main

if __name__ == '__main__':
    main()
