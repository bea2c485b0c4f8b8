"""Fine-tunes a pre-trained network on a downstream task: the same as `mmdecouple transfer`."""

from mmdecouple.commands.transfer import main

if __name__ == '__main__':
    main()
