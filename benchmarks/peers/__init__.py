"""What people would write instead of the worker: the plain job, each as its library's own pages do it.

The job: decode a JSON event, predict, score, learn, and send the prediction as JSON. There is a model for each of the four partitions,
because the worker has one for each. What the worker does besides (checkpoints, windows, detectors, metrics to scrape) is in none of them.

Each file is one peer, and runs by itself in an environment that has nothing of this project: `benchmarks.throughput_peers` starts it.
"""
