"""`python -m memorability.cli`, which `torchrun -m` needs."""

from memorability.cli import main

if __name__ == "__main__":
    main()
