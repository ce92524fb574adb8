"""samlb's forests for `benchmarks.members`: they take numbers alone, so a category is a column for each of its values, and missing is 0."""

from samlb.framework.base import ARFClassifier, ARFRegressor

from benchmarks.peers.members_loop import member_job, tell

job = member_job()
classes = range(len(job.labels or ()))
model = ARFClassifier(n_models=10, seed=1) if job.labels is not None else ARFRegressor(n_models=10, seed=1)
columns = [(name, [f"{name}={value}" for value in values] if values is not None else None) for name, values in job.features]
zeros = {column: 0.0 for _, made in columns for column in made or ()}


def event(x, y):
    row = dict(zeros)
    for value, (name, made) in zip(x, columns, strict=True):
        if made is None:
            row[name] = 0.0 if value is None else value
        elif value is not None:
            row[made[value]] = 1.0
    return row, y


def classified(given):
    proba = model.predict_proba_one(given[0])
    if not proba:
        return model.predict_one(given[0]), None
    return max(proba, key=proba.__getitem__), [proba.get(place, 0.0) for place in classes]


def number(given):
    return float(model.predict_one(given[0])), None


tell(job, event, classified if job.labels is not None else number, lambda given: model.learn_one(*given))
