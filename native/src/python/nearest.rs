//! The cores of the nearest neighbors: `stream_retrain/models/plain_nearest.py` has the same ones in Python.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::labels::Labels;
use super::member::{ClassifierMember, RegressorMember};
use super::step::{classify, regress, Classifies, Regresses, Wanted};
use super::values::{target, values, Table, Value};
use super::window::{NamedWindow, State};
use super::Block;
use crate::block::{Damaged, Writer};
use crate::nearest::relevance::{Task, APART_MAX};
use crate::nearest::Made;
use crate::targets::Targets;

/// A target counts as at most this many standard deviations where features are ranked.
const TARGET_MAX: f64 = 3.0;
/// The part of the neighbors' mean weight that every class gets.
const PRIOR: f64 = 0.1;

/// Keep an outcome at its place in the window.
fn put<T>(outcomes: &mut Vec<T>, place: usize, outcome: T) {
    match outcomes.get_mut(place) {
        Some(kept) => *kept = outcome,
        None => outcomes.push(outcome),
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct NearestClassifier {
    window: NamedWindow,
    labels: Labels,
    /// The class of each event of the window.
    classes: Vec<u32>,
}

impl NearestClassifier {
    fn of(py: Python, made: Made) -> NearestClassifier {
        NearestClassifier { window: NamedWindow::new(py, made), labels: Labels(Table::new(py)), classes: vec![] }
    }

    /// The probability of every class, by its number.
    pub fn predict_values(&mut self, values: &[Value], proba: &mut Vec<f64>) -> PyResult<()> {
        self.window.search(values)?;
        let (found, mut total) = (&self.window.nearest.found, 0.0);
        proba.clear();
        if found.is_empty() {
            return Ok(());
        }
        proba.resize(self.labels.0.names.len(), 0.0);
        for &(place, weight) in found {
            proba[self.classes[place] as usize] += weight;
            total += weight;
        }
        let prior = PRIOR * total / found.len() as f64;
        let whole = total + prior * proba.len() as f64;
        proba.iter_mut().for_each(|p| *p = (*p + prior) / whole);
        Ok(())
    }

    pub fn learn_values(&mut self, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let complete = self.window.encode(values)?;
        self.learn_encoded(values, y, complete)
    }

    fn learn_encoded(&mut self, values: &[Value], y: &Bound<PyAny>, complete: bool) -> PyResult<()> {
        let class = match self.labels.0.find_same(y)? {
            Some(class) => class,
            None => self.labels.0.add(y)?,
        };
        let place = self.window.learn(values, complete, &[((class as usize).min(APART_MAX), 1.0)])?;
        put(&mut self.classes, place, class);
        Ok(())
    }
}

impl Classifies for NearestClassifier {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_values(values, &mut to.scratch)?;
        let labels = &self.labels.0.names;
        to.extend(py, labels, 0..labels.len());
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        match self.window.next.take() {
            Some(complete) => self.learn_encoded(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl ClassifierMember for NearestClassifier {
    fn learn_any(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<NearestClassifier> {
        Ok(NearestClassifier::of(py, self.window.made))
    }
}

#[pymethods]
impl NearestClassifier {
    #[new]
    fn new(py: Python, neighbors: usize, window: usize, features_max: usize) -> NearestClassifier {
        NearestClassifier::of(py, Made { neighbors, window, features_max, task: Task::Classes })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut proba = vec![];
        self.predict_values(&values(x)?, &mut proba)?;
        self.labels.proba(x.py(), 0..proba.len() as u32, &proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(&values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.window.nearest.write(&mut to);
        self.classes.iter().for_each(|&class| to.count(class as usize));
        self.window.state(py, &self.labels.0.names, to)
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.labels = Labels(Table::of(py, state.2.as_any())?);
        let block = Block::of(&state.3)?;
        let mut reader = block.reader()?;
        let rows = self.window.restore(&state, &mut reader)?;
        let classes = self.labels.0.names.len();
        self.classes = (0..rows).map(|_| Ok(reader.below(classes)? as u32)).collect::<Result<_, Damaged>>()?;
        Ok(reader.end()?)
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct NearestRegressor {
    window: NamedWindow,
    targets: Targets,
    /// The target of each event of the window.
    outcomes: Vec<f64>,
}

impl NearestRegressor {
    fn of(py: Python, made: Made) -> NearestRegressor {
        NearestRegressor { window: NamedWindow::new(py, made), targets: Targets::default(), outcomes: vec![] }
    }

    pub fn predict_values(&mut self, values: &[Value]) -> PyResult<f64> {
        self.window.search(values)?;
        let (mut sum, mut total) = (0.0, 0.0);
        for &(place, weight) in &self.window.nearest.found {
            sum += weight * self.outcomes[place];
            total += weight;
        }
        Ok(if total > 0.0 { self.targets.clip(sum / total) } else { 0.0 })
    }

    pub fn learn_values(&mut self, values: &[Value], y: f64) -> PyResult<()> {
        let complete = self.window.encode(values)?;
        self.learn_encoded(values, y, complete)
    }

    fn learn_encoded(&mut self, values: &[Value], y: f64, complete: bool) -> PyResult<()> {
        let outcome = self.targets.usual(y);
        self.targets.update(outcome);
        let off = (outcome - self.targets.mean) / self.targets.deviation();
        let off = if off < TARGET_MAX { off } else { TARGET_MAX };
        let off = if off > -TARGET_MAX { off } else { -TARGET_MAX };
        let place = self.window.learn(values, complete, &[(0, off), (1, 1.0)])?;
        put(&mut self.outcomes, place, outcome);
        Ok(())
    }
}

impl Regresses for NearestRegressor {
    fn predict_next(&mut self, _: Python, values: &[Value]) -> PyResult<f64> {
        self.predict_values(values)
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        match self.window.next.take() {
            Some(complete) => self.learn_encoded(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl RegressorMember for NearestRegressor {
    fn learn_any(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<NearestRegressor> {
        Ok(NearestRegressor::of(py, self.window.made))
    }
}

#[pymethods]
impl NearestRegressor {
    #[new]
    fn new(py: Python, neighbors: usize, window: usize, features_max: usize) -> NearestRegressor {
        NearestRegressor::of(py, Made { neighbors, window, features_max, task: Task::Numbers })
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        self.predict_values(&values(x)?)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        let y = target(y)?;
        self.learn_values(&values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.targets.write(&mut to);
        self.window.nearest.write(&mut to);
        to.row(&self.outcomes);
        self.window.state(py, &vec![], to)
    }

    fn restore(&mut self, state: State) -> PyResult<()> {
        let block = Block::of(&state.3)?;
        let mut reader = block.reader()?;
        self.targets = Targets::read(&mut reader)?;
        let rows = self.window.restore(&state, &mut reader)?;
        self.outcomes = reader.row(rows)?;
        Ok(reader.end()?)
    }
}
