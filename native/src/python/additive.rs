//! The cores of the additive models: `stream_retrain/models/additive_cores.py` has the same ones in Python.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::additive_model::{Given, Model, State};
use super::answers::Answers;
use super::labels::Labels;
use super::member::{ClassifierMember, RegressorMember};
use super::step::{classify, regress, Classifies, Regresses, Wanted};
use super::values::{target, values, Table, Value};
use super::Block;
use crate::additive::softmax;
use crate::block::Writer;
use crate::targets::Targets;

/// A regression error counts as at most this many standard deviations of the target.
const ERROR_MAX: f64 = 3.0;

#[pyclass(module = "stream_retrain._native")]
pub struct AdditiveClassifier {
    model: Model,
    labels: Labels,
}

impl AdditiveClassifier {
    /// The probability of every class, by its number.
    fn predict_values(&mut self, values: &[Value], proba: &mut Vec<f64>) -> PyResult<()> {
        self.model.next = None;
        self.model.next = Some(self.model.score(values)?);
        let classes = self.labels.0.names.len();
        if classes < 2 {
            proba.clear();
            proba.resize(classes, 1.0);
        } else {
            softmax(&self.model.additive.scores, proba);
        }
        Ok(())
    }

    pub fn learn_values(&mut self, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let complete = self.model.score(values)?;
        self.learn_scored(values, y, complete)
    }

    fn learn_scored(&mut self, values: &[Value], y: &Bound<PyAny>, complete: bool) -> PyResult<()> {
        let class = match self.labels.0.find_same(y)? {
            Some(class) => class as usize,
            None => {
                let class = self.labels.0.add(y)? as usize;
                self.model.additive.add_class(class);
                class
            }
        };
        let additive = &mut self.model.additive;
        if self.labels.0.names.len() < 2 {
            additive.errors.clear();
            additive.errors.push(0.0);
        } else {
            softmax(&additive.scores, &mut additive.errors);
            if additive.scores.len() == 1 {
                let error = additive.errors[1] - class as f64;
                additive.errors.truncate(1);
                additive.errors[0] = error;
            } else {
                additive.errors[class] -= 1.0;
            }
        }
        self.model.learn(values, complete)
    }
}

impl Classifies for AdditiveClassifier {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_values(values, &mut to.scratch)?;
        let labels = &self.labels.0.names;
        to.extend(py, labels, 0..labels.len());
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        match self.model.next.take() {
            Some(complete) => self.learn_scored(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl ClassifierMember for AdditiveClassifier {
    fn learn_any(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<AdditiveClassifier> {
        Ok(AdditiveClassifier { model: self.model.untrained(py), labels: Labels(Table::new(py)) })
    }
}

#[pymethods]
impl AdditiveClassifier {
    #[new]
    fn new(py: Python, given: Given) -> AdditiveClassifier {
        AdditiveClassifier { model: Model::given(py, given), labels: Labels(Table::new(py)) }
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
        self.model.state(py, &self.labels.0.names, Writer::default())
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.labels = Labels(Table::of(py, state.2.as_any())?);
        let classes = self.labels.0.names.len();
        let block = Block::of(&state.3)?;
        self.model.restore(&state, block.reader()?, if classes > 2 { classes } else { 1 })
    }
}

#[pyclass(module = "stream_retrain._native")]
pub struct AdditiveRegressor {
    model: Model,
    targets: Targets,
}

impl AdditiveRegressor {
    pub fn predict_values(&mut self, values: &[Value]) -> PyResult<f64> {
        self.model.next = None;
        self.model.next = Some(self.model.score(values)?);
        let targets = &self.targets;
        Ok(targets.clip(targets.mean + targets.deviation() * self.model.additive.scores[0]))
    }

    pub fn learn_values(&mut self, values: &[Value], y: f64) -> PyResult<()> {
        let complete = self.model.score(values)?;
        self.learn_scored(values, y, complete)
    }

    fn learn_scored(&mut self, values: &[Value], y: f64, complete: bool) -> PyResult<()> {
        let target = self.targets.usual(y);
        self.targets.update(target);
        let error = self.model.additive.scores[0] - (target - self.targets.mean) / self.targets.deviation();
        let error = if error < ERROR_MAX { error } else { ERROR_MAX };
        self.model.additive.errors.clear();
        self.model.additive.errors.push(if error > -ERROR_MAX { error } else { -ERROR_MAX });
        self.model.learn(values, complete)
    }
}

impl Regresses for AdditiveRegressor {
    fn predict_next(&mut self, _: Python, values: &[Value]) -> PyResult<f64> {
        self.predict_values(values)
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        match self.model.next.take() {
            Some(complete) => self.learn_scored(values, y, complete),
            None => self.learn_values(values, y),
        }
    }
}

impl RegressorMember for AdditiveRegressor {
    fn learn_any(&mut self, _: Python, values: &[Value], y: f64) -> PyResult<()> {
        self.learn_values(values, y)
    }

    fn untrained(&self, py: Python) -> PyResult<AdditiveRegressor> {
        Ok(AdditiveRegressor { model: self.model.untrained(py), targets: Targets::default() })
    }
}

#[pymethods]
impl AdditiveRegressor {
    #[new]
    fn new(py: Python, given: Given) -> AdditiveRegressor {
        AdditiveRegressor { model: Model::given(py, given), targets: Targets::default() }
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
        self.model.state(py, &vec![], to)
    }

    fn restore(&mut self, state: State) -> PyResult<()> {
        let block = Block::of(&state.3)?;
        let mut reader = block.reader()?;
        self.targets = Targets::read(&mut reader)?;
        self.model.restore(&state, reader, 1)
    }
}
