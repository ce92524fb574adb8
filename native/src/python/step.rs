//! Many events in one call: each is predicted, then learned, in their order (`stream_retrain/core/serve/step.py`).
//!
//! A call ends early after an event at which something happened, and before one that is odd: whoever called takes that one by itself.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyList, PyTuple};

use super::answers::Answers;
use super::values::{target, values, Value};
use super::weights::failed;

/// A classifier that takes many events. Whatever is predicted is learned next.
pub trait Classifies {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()>;
    fn learn_next(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()>;
    /// A number that is another one after something happened that is to be told.
    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(0)
    }
}

/// A regressor that does.
pub trait Regresses {
    fn predict_next(&mut self, py: Python, values: &[Value]) -> PyResult<f64>;
    fn learn_next(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()>;
    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(0)
    }
}

/// What is wanted of a call.
#[derive(FromPyObject)]
pub struct Wanted<'py> {
    /// Of a binary task: the probability that is given is that of True, and not that of the label that was predicted.
    binary: bool,
    /// Of a binary task: the probability from which on the label is True, in place of the more probable one.
    threshold: Option<f64>,
    /// Whether the probabilities of all labels are wanted.
    every_class: bool,
    /// Called with 1 for each label that was missed, and with 0 for each other.
    errors: Option<Bound<'py, PyAny>>,
    /// Called with each label, the prediction, and the probabilities.
    look: Option<Bound<'py, PyAny>>,
}

/// What became of the first events: predictions, the probability of each, those of all labels; what was said of the last one; what was
/// raised at the one after it, and whether that one is odd.
struct Taken<'py> {
    predictions: Vec<Bound<'py, PyAny>>,
    probabilities: Vec<Option<f64>>,
    of_classes: Vec<Bound<'py, PyAny>>,
    said: Option<Bound<'py, PyAny>>,
    error: Option<PyErr>,
    odd: bool,
}

impl<'py> Taken<'py> {
    fn new(events: usize) -> Taken<'py> {
        let (predictions, probabilities) = (Vec::with_capacity(events), Vec::with_capacity(events));
        Taken { predictions, probabilities, of_classes: vec![], said: None, error: None, odd: false }
    }

    /// Ask about the event that was learned last; what is said ends the call, and so does what is raised.
    fn hear(&mut self, py: Python<'py>, said: PyResult<Bound<'py, PyAny>>) -> PyResult<()> {
        self.said = match said {
            Ok(said) => said.is_truthy()?.then_some(said),
            Err(error) => Some(caught(py, error)?.into_value(py).into_bound(py).into_any()),
        };
        Ok(())
    }

    fn done(self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let error = self.error.map(|error| error.into_value(py));
        (self.predictions, self.probabilities, self.of_classes, self.said, error, self.odd).into_pyobject(py)
    }
}

/// What a model or a detector may raise; what nobody may catch is raised again.
fn caught(py: Python, error: PyErr) -> PyResult<PyErr> {
    match error.is_instance_of::<PyException>(py) {
        true => Ok(error),
        false => Err(error),
    }
}

/// Whether two labels are equal; the same object is, but for NaN.
pub fn is_equal(one: &Bound<PyAny>, other: &Bound<PyAny>) -> PyResult<bool> {
    Ok((one.is(other) && !one.is_instance_of::<PyFloat>()) || one.eq(other)?)
}

pub fn classify<'py>(
    core: &mut impl Classifies,
    xs: &Bound<'py, PyList>,
    ys: &Bound<'py, PyList>,
    wanted: &Wanted<'py>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = xs.py();
    let (changes, truth) = (core.changes(py)?, PyBool::new(py, true).to_owned().into_any());
    let (mut taken, mut answers) = (Taken::new(xs.len()), Answers::default());
    for (x, y) in xs.iter().zip(ys.iter()) {
        answers.clear();
        let Ok(values) = values(&x) else {
            taken.odd = true;
            break;
        };
        if failed(py, core.predict_next(py, &values, &mut answers))? || !answers.is_finite() {
            taken.odd = true;
            break;
        }
        if let Err(error) = core.learn_next(py, &values, &y) {
            taken.error = Some(caught(py, error)?);
            break;
        }
        let best = answers.best(py);
        let of_truth = || answers.probability_of(&truth).map(|p| p.unwrap_or(0.0));
        let (label, probability) = match best {
            None => (None, None),
            Some((label, _)) if wanted.binary => (Some(label), Some(of_truth()?)),
            Some((label, p)) => (Some(label), Some(p)),
        };
        let label = match (label, wanted.threshold) {
            (Some(_), Some(threshold)) => Some(PyBool::new(py, of_truth()? >= threshold).to_owned().into_any()),
            (label, _) => label,
        };
        let of_classes = match wanted.every_class {
            true => Some(answers.alone(py)?),
            false => None,
        };
        if let (Some(label), Some(errors)) = (&label, &wanted.errors) {
            let missed = u8::from(!is_equal(&y, label)?);
            taken.hear(py, errors.call1((missed,)))?;
        } else if let Some(look) = &wanted.look {
            taken.hear(py, look.call1((&y, &label, &of_classes)))?;
        }
        taken.predictions.push(label.unwrap_or_else(|| py.None().into_bound(py)));
        taken.probabilities.push(probability);
        taken.of_classes.extend(of_classes.map(Bound::into_any));
        if taken.said.is_some() || core.changes(py)? != changes {
            break;
        }
    }
    taken.done(py)
}

pub fn regress<'py>(
    core: &mut impl Regresses,
    xs: &Bound<'py, PyList>,
    ys: &Bound<'py, PyList>,
    wanted: &Wanted<'py>,
) -> PyResult<Bound<'py, PyTuple>> {
    let py = xs.py();
    let (changes, mut taken) = (core.changes(py)?, Taken::new(xs.len()));
    for (x, y) in xs.iter().zip(ys.iter()) {
        let (Ok(values), Ok(number)) = (values(&x), target(&y)) else {
            taken.odd = true;
            break;
        };
        let prediction = match core.predict_next(py, &values) {
            Ok(prediction) => prediction,
            Err(error) => caught(py, error).map(|_| f64::NAN)?,
        };
        if !prediction.is_finite() {
            taken.odd = true;
            break;
        }
        if let Err(error) = core.learn_next(py, &values, number) {
            taken.error = Some(caught(py, error)?);
            break;
        }
        let prediction = PyFloat::new(py, prediction).into_any();
        if let Some(look) = &wanted.look {
            taken.hear(py, look.call1((&y, &prediction, py.None())))?;
        }
        taken.predictions.push(prediction);
        taken.probabilities.push(None);
        if taken.said.is_some() || core.changes(py)? != changes {
            break;
        }
    }
    taken.done(py)
}
