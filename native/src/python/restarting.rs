//! The cores of models that restart when their error rises: see `stream_retrain/models/plain_restarting.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::cache::Cache;
use super::detector::Detector;
use super::member::{ClassifierMember, Member, RegressorMember};
use super::step::{classify, is_equal, regress, Classifies, Regresses, Wanted};
use super::values::{target, values, Value};
use super::Block;
use crate::block::Writer;
use crate::targets::Targets;

/// Rate of the running mean that is the recent error.
const RECENT_RATE: f64 = 1.0 / 30.0;

/// The model, its detector, and the errors since the last alarm.
struct Watched {
    member: Member,
    detector: Detector,
    one_sided: bool,
    errors: f64,
    error_sum: f64,
    recent_error: f64,
}

impl Watched {
    fn new(model: &Bound<PyAny>, detector: &Bound<PyAny>, one_sided: bool) -> PyResult<Watched> {
        let (member, detector) = (Member::of(model)?, Detector::of(detector)?);
        Ok(Watched { member, detector, one_sided, errors: 0.0, error_sum: 0.0, recent_error: 0.0 })
    }

    fn untrained(&self, py: Python) -> PyResult<Watched> {
        let (member, detector) = (self.member.untrained(py)?, self.detector.untrained(py)?);
        Ok(Watched { member, detector, one_sided: self.one_sided, errors: 0.0, error_sum: 0.0, recent_error: 0.0 })
    }

    /// Pass an error to the detector; whether the model has restarted because it rose.
    fn score(&mut self, py: Python, error: f64) -> PyResult<bool> {
        let alarm = self.detector.update(py, error)?;
        if !self.one_sided {
            self.errors += 1.0;
            self.error_sum += error;
            let rate = if 1.0 / self.errors > RECENT_RATE { 1.0 / self.errors } else { RECENT_RATE };
            self.recent_error += rate * (error - self.recent_error);
        }
        if !alarm {
            return Ok(false);
        }
        let rose = self.one_sided || self.recent_error > self.error_sum / self.errors;
        (self.errors, self.error_sum, self.recent_error) = (0.0, 0.0, 0.0);
        if rose {
            *self = self.untrained(py)?;
        }
        Ok(rose)
    }

    fn write(&self, to: &mut Writer) {
        to.row(&[self.errors, self.error_sum, self.recent_error]);
    }

    fn restore(&mut self, block: &Bound<PyAny>) -> PyResult<Targets> {
        let block = Block::of(block)?;
        let mut reader = block.reader()?;
        (self.errors, self.error_sum, self.recent_error) = (reader.number()?, reader.number()?, reader.number()?);
        let targets = Targets::read(&mut reader)?;
        reader.end()?;
        Ok(targets)
    }
}

/// Restarts, what is kept, and the numbers.
type State = (u64, Py<PyDict>, Py<PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct RestartingClassifier {
    watched: Watched,
    #[pyo3(get)]
    pub changes: u64,
    cache: Cache<Option<Py<PyAny>>>,
    /// The label that was predicted for the event that is learned next.
    next: Option<Py<PyAny>>,
    answers: Answers,
}

impl RestartingClassifier {
    fn score_values(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let label = self.cache.take(py, values)?.flatten();
        self.score_label(py, values, y, label)
    }

    /// Score a label that was predicted; None: there is none, and the model is asked again.
    fn score_label(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>, mut label: Option<Py<PyAny>>) -> PyResult<()> {
        if label.is_none() {
            self.answers.clear();
            self.watched.member.predict_proba(py, values, &mut self.answers, false)?;
            label = self.answers.most_probable(py);
        }
        let Some(label) = label else { return Ok(()) };
        let missed = !is_equal(label.bind(py), y)?;
        if self.watched.score(py, f64::from(u8::from(missed)))? {
            self.cache.clear(py);
            self.changes += 1;
        }
        Ok(())
    }
}

impl Classifies for RestartingClassifier {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.next = None;
        self.watched.member.predict_proba(py, values, to, true)?;
        self.next = self.cache.pass(py, values, to.most_probable(py))?.flatten();
        Ok(())
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let label = self.next.take();
        self.score_label(py, values, y, label)?;
        self.watched.member.learn_label(py, values, y, true)
    }

    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(self.changes)
    }
}

impl ClassifierMember for RestartingClassifier {
    fn predict_any(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.watched.member.predict_proba(py, values, to, false)?;
        self.cache.put(py, values, to.most_probable(py))
    }

    fn learn_any(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.score_values(py, values, y)?;
        self.watched.member.learn_label(py, values, y, false)
    }

    fn untrained(&self, py: Python) -> PyResult<RestartingClassifier> {
        Ok(RestartingClassifier { watched: self.watched.untrained(py)?, changes: 0, cache: Cache::new(py), next: None, answers: Answers::default() })
    }
}

#[pymethods]
impl RestartingClassifier {
    #[new]
    fn new(py: Python, model: &Bound<PyAny>, detector: &Bound<PyAny>, one_sided: bool) -> PyResult<RestartingClassifier> {
        let watched = Watched::new(model, detector, one_sided)?;
        Ok(RestartingClassifier { watched, changes: 0, cache: Cache::new(py), next: None, answers: Answers::default() })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut answers = std::mem::take(&mut self.answers);
        answers.clear();
        self.predict_any(x.py(), &values(x)?, &mut answers)?;
        self.answers = answers;
        self.answers.alone(x.py())
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_any(x.py(), &values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    /// Keep a prediction that was made with the model itself.
    fn keep(&mut self, x: &Bound<PyAny>, label: Option<Py<PyAny>>) -> PyResult<()> {
        self.cache.put(x.py(), &values(x)?, label)
    }

    /// Score an event that the model itself is going to learn; what it learns as the label.
    fn score<'py>(&mut self, x: &Bound<PyAny>, y: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.score_values(x.py(), &values(x)?, y)?;
        Ok(y.clone())
    }

    #[getter]
    fn model(&self, py: Python) -> Py<PyAny> {
        self.watched.member.estimator.clone_ref(py)
    }

    #[getter]
    fn detector(&self, py: Python) -> Py<PyAny> {
        self.watched.detector.object.clone_ref(py)
    }

    fn waiting(&self, py: Python) -> usize {
        self.cache.len(py)
    }

    fn parts(&self, py: Python) -> (Py<PyAny>, Py<PyAny>) {
        (self.model(py), self.detector(py))
    }

    fn state(&mut self, py: Python) -> PyResult<State> {
        let mut to = Writer::default();
        self.watched.write(&mut to);
        Targets::default().write(&mut to);
        Ok((self.changes, self.cache.state(py)?, Block::written(py, to)?.into_any().unbind()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.watched.restore(state.2.bind(py))?;
        self.changes = state.0;
        self.cache.restore(state.1.bind(py))
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct RestartingRegressor {
    watched: Watched,
    #[pyo3(get)]
    pub changes: u64,
    cache: Cache<f64>,
    /// What was predicted for the event that is learned next.
    next: Option<f64>,
    targets: Targets,
}

impl RestartingRegressor {
    fn score_values(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<f64> {
        let prediction = self.cache.take(py, values)?;
        self.score_number(py, values, y, prediction)
    }

    /// Score a number that was predicted; None: there is none, and the model is asked again.
    fn score_number(&mut self, py: Python, values: &[Value], y: f64, prediction: Option<f64>) -> PyResult<f64> {
        let prediction = match prediction {
            Some(prediction) => prediction,
            None => self.targets.clip(self.watched.member.predict_number(py, values, false)?),
        };
        if self.targets.variance != 0.0 {
            let error = (y - prediction).abs() / self.targets.deviation();
            if self.watched.score(py, if error < 1.0 { error } else { 1.0 })? {
                self.cache.clear(py);
                self.changes += 1;
            }
        }
        let usual = self.targets.usual(y);
        self.targets.update(y);
        Ok(usual)
    }
}

impl Regresses for RestartingRegressor {
    fn predict_next(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        self.next = None;
        let prediction = self.targets.clip(self.watched.member.predict_number(py, values, true)?);
        self.next = self.cache.pass(py, values, prediction)?;
        Ok(prediction)
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let prediction = self.next.take();
        let usual = self.score_number(py, values, y, prediction)?;
        self.watched.member.learn_number(py, values, usual, true)
    }

    fn changes(&self, _: Python) -> PyResult<u64> {
        Ok(self.changes)
    }
}

impl RegressorMember for RestartingRegressor {
    fn predict_any(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        let prediction = self.targets.clip(self.watched.member.predict_number(py, values, false)?);
        self.cache.put(py, values, prediction)?;
        Ok(prediction)
    }

    fn learn_any(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let usual = self.score_values(py, values, y)?;
        self.watched.member.learn_number(py, values, usual, false)
    }

    fn untrained(&self, py: Python) -> PyResult<RestartingRegressor> {
        Ok(RestartingRegressor { watched: self.watched.untrained(py)?, changes: 0, cache: Cache::new(py), next: None, targets: Targets::default() })
    }
}

#[pymethods]
impl RestartingRegressor {
    #[new]
    fn new(py: Python, model: &Bound<PyAny>, detector: &Bound<PyAny>, one_sided: bool) -> PyResult<RestartingRegressor> {
        let watched = Watched::new(model, detector, one_sided)?;
        Ok(RestartingRegressor { watched, changes: 0, cache: Cache::new(py), next: None, targets: Targets::default() })
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        self.predict_any(x.py(), &values(x)?)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        let values = values(x)?;
        self.learn_any(x.py(), &values, target(y)?)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    /// Keep a prediction that was made with the model itself; it is clipped.
    fn keep(&mut self, x: &Bound<PyAny>, prediction: f64) -> PyResult<f64> {
        let clipped = self.targets.clip(prediction);
        self.cache.put(x.py(), &values(x)?, clipped)?;
        Ok(clipped)
    }

    /// Score an event that the model itself is going to learn; what it learns as the label.
    fn score(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<f64> {
        let values = values(x)?;
        self.score_values(x.py(), &values, target(y)?)
    }

    #[getter]
    fn model(&self, py: Python) -> Py<PyAny> {
        self.watched.member.estimator.clone_ref(py)
    }

    #[getter]
    fn detector(&self, py: Python) -> Py<PyAny> {
        self.watched.detector.object.clone_ref(py)
    }

    fn waiting(&self, py: Python) -> usize {
        self.cache.len(py)
    }

    fn parts(&self, py: Python) -> (Py<PyAny>, Py<PyAny>) {
        (self.model(py), self.detector(py))
    }

    fn state(&mut self, py: Python) -> PyResult<State> {
        let mut to = Writer::default();
        self.watched.write(&mut to);
        self.targets.write(&mut to);
        Ok((self.changes, self.cache.state(py)?, Block::written(py, to)?.into_any().unbind()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.targets = self.watched.restore(state.2.bind(py))?;
        self.changes = state.0;
        self.cache.restore(state.1.bind(py))
    }
}
