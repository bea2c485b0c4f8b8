"""Runs an ablation table: the same as `mmdecouple ablate`."""

from mmdecouple.commands.ablate import main

if __name__ == '__main__':
    main()
