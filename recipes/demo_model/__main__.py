"""Entry point of ``python -m recipes.demo_model``."""

from .make import main

if __name__ == "__main__":
    main()
