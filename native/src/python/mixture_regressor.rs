//! The core of mixtures of regressors: see `stream_retrain/models/mixture.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::cache::Cache;
use super::mixture::{restored, reweight};
use super::step::{regress, Regresses, Wanted};
use super::values::{target, values, Value};
use super::weights::{failed, Standing, Weights};
use super::Block;
use crate::arithmetic::exp;
use crate::block::Writer;
use crate::stacking_regressor::{half_squares, StackingsOfNumbers};
use crate::targets::Targets;

/// The models, what is not in them, what is kept, and the numbers of the targets.
type State = (Vec<Py<PyAny>>, Standing, Py<PyDict>, Py<PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct RegressorMixture {
    weights: Weights,
    eta: f64,
    cache: Cache<Vec<Option<f64>>>,
    /// What the members said to the event that is learned next.
    next: Option<Vec<Option<f64>>>,
    targets: Targets,
    stackings: Option<StackingsOfNumbers>,
}

impl RegressorMixture {
    /// The weighted mean of the members.
    fn mean(&self, predictions: &[Option<f64>]) -> f64 {
        let (mut total, mut weights) = (0.0, 0.0);
        for (weight, prediction) in self.weights.weights.iter().zip(predictions) {
            if let Some(prediction) = prediction {
                total += weight * prediction;
                weights += weight;
            }
        }
        if weights != 0.0 {
            total / weights
        } else {
            self.targets.mean
        }
    }

    /// The mean, corrected by the stackings.
    fn mix(&mut self, predictions: &[Option<f64>]) -> f64 {
        let fixed = self.mean(predictions);
        match &mut self.stackings {
            Some(stackings) => {
                stackings.answer(fixed, predictions, &self.targets);
                stackings.mean()
            }
            None => fixed,
        }
    }

    fn ask(&self, py: Python, values: &[Value], next: bool) -> PyResult<Vec<Option<f64>>> {
        let mut predictions = vec![];
        for member in &self.weights.members {
            let found = member.predict_number(py, values, next);
            predictions.push(match found {
                Ok(number) => Some(self.targets.clip(number)),
                Err(error) => {
                    failed::<()>(py, Err(error))?;
                    None
                }
            });
        }
        Ok(predictions)
    }

    fn learn_values(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let predictions = match self.cache.take(py, values)? {
            Some(predictions) => predictions,
            None => self.ask(py, values, false)?,
        };
        self.learn_predictions(py, values, y, &predictions, false)
    }

    fn learn_predictions(&mut self, py: Python, values: &[Value], y: f64, predictions: &[Option<f64>], next: bool) -> PyResult<()> {
        for (index, each) in predictions.iter().enumerate() {
            if each.is_none() && failed(py, self.weights.members[index].predict_number(py, values, next))? {
                self.weights.restart(py, index)?;
            }
        }
        let variance = self.targets.variance;
        if variance != 0.0 {
            if self.stackings.is_some() {
                self.mix(predictions);
                self.stackings.iter_mut().for_each(|stackings| stackings.learn(y, &self.targets));
            }
            let score = |prediction: f64| half_squares(y - prediction, variance);
            let scores: Vec<Option<f64>> = predictions.iter().map(|each| each.map(score)).collect();
            let eta = self.eta;
            reweight(&mut self.weights, &scores, |total, weight| exp(-eta * total / weight));
        }
        let usual = self.targets.usual(y);
        self.targets.update(y);
        self.weights.learn(py, |member| member.learn_number(py, values, usual, next))
    }
}

impl Regresses for RegressorMixture {
    fn predict_next(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        self.next = None;
        let predictions = self.ask(py, values, true)?;
        let mean = self.mix(&predictions);
        self.next = self.cache.pass(py, values, predictions)?;
        Ok(mean)
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let predictions = match self.next.take() {
            Some(predictions) => predictions,
            None => self.ask(py, values, true)?,
        };
        self.learn_predictions(py, values, y, &predictions, true)
    }

    fn changes(&self, py: Python) -> PyResult<u64> {
        self.weights.changes(py)
    }
}

#[pymethods]
impl RegressorMixture {
    #[new]
    fn new(py: Python, models: Vec<Bound<PyAny>>, eta: f64, share: f64, forgettings: Vec<f64>) -> PyResult<RegressorMixture> {
        let stackings = (!forgettings.is_empty()).then(|| StackingsOfNumbers::new(&forgettings, models.len()));
        let weights = Weights::new(models, share)?;
        Ok(RegressorMixture { weights, eta, cache: Cache::new(py), next: None, targets: Targets::default(), stackings })
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        let py = x.py();
        let values = values(x)?;
        let predictions = self.ask(py, &values, false)?;
        let mean = self.mix(&predictions);
        self.cache.put(py, &values, predictions)?;
        Ok(mean)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        let values = values(x)?;
        self.learn_values(x.py(), &values, target(y)?)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        regress(self, xs, ys, &wanted)
    }

    #[getter]
    fn models(&self, py: Python) -> Vec<Py<PyAny>> {
        self.weights.models(py)
    }

    #[getter]
    fn changes(&self, py: Python) -> PyResult<u64> {
        self.weights.changes(py)
    }

    fn standing(&self) -> Standing {
        self.weights.standing()
    }

    fn waiting(&self, py: Python) -> usize {
        self.cache.len(py)
    }

    fn parts(&self, py: Python) -> Vec<Py<PyAny>> {
        self.weights.models(py)
    }

    fn state(&mut self, py: Python) -> PyResult<State> {
        let mut to = Writer::default();
        self.targets.write(&mut to);
        self.stackings.iter().for_each(|stackings| stackings.write(&mut to));
        Ok((self.weights.models(py), self.weights.standing(), self.cache.state(py)?, Block::written(py, to)?.into_any().unbind()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let block = Block::of(state.3.bind(py))?;
        let mut reader = block.reader()?;
        self.targets = Targets::read(&mut reader)?;
        self.stackings.iter_mut().try_for_each(|stackings| stackings.read(&mut reader))?;
        reader.end()?;
        restored(&mut self.weights, state.1)?;
        self.cache.restore(state.2.bind(py))
    }
}
