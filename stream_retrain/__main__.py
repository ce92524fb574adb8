"""`python -m stream_retrain` is `stream-retrain`."""

from stream_retrain.cli import main

if __name__ == "__main__":
    main()
