"""The replay engine: the driver over memory stores with a simulated clock, fed from records that are all there already."""
