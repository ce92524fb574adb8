//! The core of mixtures of regressors: see `stream_retrain/models/mixture_regressor.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::cache::Cache;
use super::mixture::{restored, reweight, SERVED_MAX};
use super::step::{regress, Regresses, Wanted};
use super::values::{target, values, Value};
use super::weights::{failed, Standing, Weights};
use super::Block;
use crate::arithmetic::exp;
use crate::block::Writer;
use crate::stacking_regressor::{half_squares, within, StackingsOfNumbers, ERROR_MAX, RECENT};
use crate::targets::Targets;

/// The models, what is not in them, what is kept, and the numbers of the targets.
type State = (Vec<Py<PyAny>>, Standing, Py<PyDict>, Py<PyAny>);

/// What is kept of an event: each member's prediction; and with stackings how many targets were known, what was recent, and the levels.
type Asked = Vec<Option<f64>>;

/// What counts when the label comes: the members' predictions, and what was recent and the levels when the event was asked about. None:
/// those of now.
struct Said {
    predictions: Vec<Option<f64>>,
    before: Option<([f64; RECENT], Vec<f64>)>,
}

#[pyclass(module = "stream_retrain._native")]
pub struct RegressorMixture {
    weights: Weights,
    eta: f64,
    cache: Cache<Asked>,
    /// What was said of the event that is learned next.
    next: Option<Asked>,
    targets: Targets,
    stackings: Option<StackingsOfNumbers>,
    /// Of each member, whether it learns what the others leave over.
    boosted: Vec<bool>,
}

impl RegressorMixture {
    /// The weighted mean of the members that count.
    fn mean_of(&self, predictions: &[Option<f64>], counts: impl Fn(usize) -> bool) -> f64 {
        let (mut total, mut weights) = (0.0, 0.0);
        for (index, (weight, prediction)) in self.weights.weights.iter().zip(predictions).enumerate() {
            if let Some(prediction) = prediction.filter(|_| counts(index)) {
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

    fn mean(&self, predictions: &[Option<f64>]) -> f64 {
        self.mean_of(predictions, |_| true)
    }

    /// Of the members that are not boosted.
    fn mean_of_others(&self, predictions: &[Option<f64>]) -> f64 {
        self.mean_of(predictions, |index| !self.boosted[index])
    }

    /// The prediction for an event, and what is to be kept of it.
    fn answer(&mut self, mut predictions: Vec<Option<f64>>) -> (f64, Asked) {
        let fixed = self.mean(&predictions);
        let Some(stackings) = &mut self.stackings else { return (fixed, predictions) };
        let recent = stackings.recent();
        stackings.answer(fixed, &predictions, &recent, &self.targets);
        predictions.push(Some(self.targets.count));
        predictions.extend(recent.iter().chain(&stackings.levels).map(|&number| Some(number)));
        (stackings.mean(), predictions)
    }

    fn ask(&self, py: Python, values: &[Value], next: bool) -> PyResult<Vec<Option<f64>>> {
        let mut predictions = vec![];
        for (member, &boosted) in self.weights.members.iter().zip(&self.boosted) {
            let found = member.predict_number(py, values, next);
            predictions.push(match found {
                Ok(number) if boosted => Some(number),
                Ok(number) => Some(self.targets.clip(number)),
                Err(error) => {
                    failed::<()>(py, Err(error))?;
                    None
                }
            });
        }
        if self.boosted.contains(&true) {
            let (others, most) = (self.mean_of_others(&predictions), ERROR_MAX * self.targets.deviation());
            for (prediction, _) in predictions.iter_mut().zip(&self.boosted).filter(|each| *each.1) {
                *prediction = prediction.map(|left| self.targets.clip(others + within(left, most)));
            }
        }
        Ok(predictions)
    }

    /// What counts of an event, by what was kept of it.
    fn said(&self, py: Python, values: &[Value], asked: Option<Asked>, next: bool) -> PyResult<Said> {
        let (mut asked, members) = (asked.unwrap_or_default(), self.boosted.len());
        let Some(stackings) = &self.stackings else {
            let predictions = if asked.is_empty() { self.ask(py, values, next)? } else { asked };
            return Ok(Said { predictions, before: None });
        };
        let known: Option<Vec<f64>> = asked.get(members..).and_then(|numbers| numbers.iter().copied().collect());
        let before = match known.filter(|numbers| numbers.len() == 1 + RECENT + stackings.levels.len()) {
            Some(numbers) if numbers[0] == self.targets.count => {
                asked.truncate(members);
                return Ok(Said { predictions: asked, before: None });
            }
            Some(numbers) if numbers[0] != 0.0 => {
                let mut recent = [0.0; RECENT];
                recent.copy_from_slice(&numbers[1..=RECENT]);
                Some((recent, numbers[1 + RECENT..].to_vec()))
            }
            _ => None,
        };
        Ok(Said { predictions: self.ask(py, values, next)?, before })
    }

    fn learn_values(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let asked = self.cache.take(py, values)?;
        self.learn_asked(py, values, y, asked, false)
    }

    fn learn_asked(&mut self, py: Python, values: &[Value], y: f64, asked: Option<Asked>, next: bool) -> PyResult<()> {
        let Said { predictions, before } = self.said(py, values, asked, next)?;
        for (index, each) in predictions.iter().enumerate() {
            if each.is_none() && failed(py, self.weights.members[index].predict_number(py, values, next))? {
                self.weights.restart(py, index)?;
            }
        }
        let usual = self.targets.usual(y);
        let left = match self.boosted.contains(&true) {
            true => within(usual - self.mean_of_others(&predictions), ERROR_MAX * self.targets.deviation()),
            false => usual,
        };
        let variance = self.targets.variance;
        if variance != 0.0 {
            self.learn_stackings(&predictions, before, y);
            let score = |prediction: f64| half_squares(y - prediction, variance);
            let scores: Vec<Option<f64>> = predictions.iter().map(|each| each.map(score)).collect();
            let eta = self.eta;
            reweight(&mut self.weights, &scores, |total, weight| exp(-eta * total / weight));
        }
        let first = self.targets.count == 0.0;
        self.stackings.iter_mut().for_each(|stackings| stackings.follow(usual, first));
        self.targets.update(y);
        let boosted = &self.boosted;
        self.weights.learn(py, |index, member| member.learn_number(py, values, if boosted[index] { left } else { usual }, next))
    }

    fn learn_stackings(&mut self, predictions: &[Option<f64>], before: Option<([f64; RECENT], Vec<f64>)>, y: f64) {
        let fixed = self.mean(predictions);
        let Some(stackings) = &mut self.stackings else { return };
        let recent = before.as_ref().map_or_else(|| stackings.recent(), |before| before.0);
        stackings.answer(fixed, predictions, &recent, &self.targets);
        stackings.learn(before.as_ref().map(|before| &before.1[..]), y, &self.targets);
    }
}

impl Regresses for RegressorMixture {
    fn predict_next(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        self.next = None;
        let predictions = self.ask(py, values, true)?;
        let (mean, asked) = self.answer(predictions);
        self.next = self.cache.pass(py, values, asked)?;
        Ok(mean)
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        let asked = self.next.take();
        self.learn_asked(py, values, y, asked, true)
    }

    fn changes(&self, py: Python) -> PyResult<u64> {
        self.weights.changes(py)
    }
}

#[pymethods]
impl RegressorMixture {
    #[new]
    fn new(py: Python, models: Vec<Bound<PyAny>>, eta: f64, share: f64, forgettings: Vec<f64>, boosted: Vec<usize>) -> PyResult<RegressorMixture> {
        let boosted: Vec<bool> = (0..models.len()).map(|index| boosted.contains(&index)).collect();
        let stackings = (!forgettings.is_empty()).then(|| StackingsOfNumbers::new(&forgettings, models.len()));
        let cache = if stackings.is_some() { Cache::limited(py, SERVED_MAX) } else { Cache::new(py) };
        let (weights, targets) = (Weights::new(models, share)?, Targets::default());
        Ok(RegressorMixture { weights, eta, cache, next: None, targets, stackings, boosted })
    }

    fn predict(&mut self, x: &Bound<PyAny>) -> PyResult<f64> {
        let py = x.py();
        let values = values(x)?;
        let predictions = self.ask(py, &values, false)?;
        let (mean, asked) = self.answer(predictions);
        self.cache.put(py, &values, asked)?;
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
