"""`python -m rsmtdf`, and the script `rsmtdf`."""

from cli.main import main

if __name__ == "__main__":
    main()
