//! The core of mixtures of classifiers whose members are all compiled: see `stream_retrain/models/mixture.py`.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::cache::Cache;
use super::listed;
use super::step::{classify, Classifies, Wanted};
use super::values::{values, Table, Value};
use super::weights::{failed, Standing, Weights};
use crate::arithmetic::power;
use crate::block::Damaged;

const PROBABILITY_MIN: f64 = 0.02;

/// The models, what is not in them, what is kept, and the classes.
type State = (Vec<Py<PyAny>>, Standing, Py<PyDict>, Py<PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct ClassifierMixture {
    weights: Weights,
    eta: f64,
    cache: Cache<Answers>,
    classes: Table,
    mixed: Vec<f64>,
    /// What the members said to the event that is learned next.
    next: Option<Answers>,
    /// The memory of answers that were used.
    spare: Answers,
}

impl ClassifierMixture {
    fn ask(&mut self, py: Python, values: &[Value], next: bool) -> PyResult<Answers> {
        let mut answers = std::mem::take(&mut self.spare);
        answers.clear();
        for member in &self.weights.members {
            match failed(py, member.predict_proba(py, values, &mut answers, next))? {
                true => answers.fail_member(),
                false => answers.end_member(),
            }
        }
        Ok(answers)
    }

    /// The weighted mean by class; false where a member knows a label that the mixture does not.
    fn mix(&mut self, py: Python, answers: &Answers) -> PyResult<(f64, bool)> {
        self.mixed.clear();
        self.mixed.resize(self.classes.names.len(), 0.0);
        let mut weights = 0.0;
        for (weight, each) in self.weights.weights.iter().zip(answers.each()) {
            let Some((labels, proba)) = each else { continue };
            weights += weight;
            for (label, p) in labels.iter().zip(proba) {
                match self.classes.find_same(label.bind(py))? {
                    Some(class) => self.mixed[class as usize] += weight * p,
                    None => return Ok((weights, false)),
                }
            }
        }
        Ok((weights, true))
    }

    /// The same with labels that the mixture has not learned, after those that it has.
    fn mixed_with_others<'py>(&self, py: Python<'py>, answers: &Answers) -> PyResult<Bound<'py, PyDict>> {
        let mut all = Table::of(py, listed(py, &self.classes.names)?.as_any())?;
        let mut mixed = vec![0.0; all.names.len()];
        let mut weights = 0.0;
        for (weight, each) in self.weights.weights.iter().zip(answers.each()) {
            let Some((labels, proba)) = each else { continue };
            weights += weight;
            for (label, p) in labels.iter().zip(proba) {
                let class = match all.find(label.bind(py))? {
                    Some(class) => class as usize,
                    None => {
                        mixed.push(0.0);
                        all.add(label.bind(py))? as usize
                    }
                };
                mixed[class] += weight * p;
            }
        }
        scaled(py, &all, &mixed, weights)
    }

    /// The probability that each member gave a label; None for a member without an answer.
    fn scores(py: Python, answers: &Answers, y: &Bound<PyAny>) -> PyResult<Vec<Option<f64>>> {
        let mut scores = vec![];
        for each in answers.each() {
            let Some((labels, proba)) = each else {
                scores.push(None);
                continue;
            };
            let mut p = 0.0;
            for (label, &of_label) in labels.iter().zip(proba) {
                if label.is(y) || label.bind(py).eq(y)? {
                    p = of_label;
                    break;
                }
            }
            let p = if p < PROBABILITY_MIN { PROBABILITY_MIN } else { p };
            scores.push(Some(if p > 1.0 - PROBABILITY_MIN { 1.0 - PROBABILITY_MIN } else { p }));
        }
        Ok(scores)
    }

    fn learn_values(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let answers = match self.cache.take(py, values)? {
            Some(answers) => answers,
            None => self.ask(py, values, false)?,
        };
        self.learn_answers(py, values, y, answers, false)
    }

    fn learn_answers(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>, answers: Answers, next: bool) -> PyResult<()> {
        for (index, each) in answers.each().enumerate() {
            let again = &mut Answers::default();
            if each.is_none() && failed(py, self.weights.members[index].predict_proba(py, values, again, next))? {
                self.weights.restart(py, index)?;
            }
        }
        if self.classes.find_same(y)?.is_none() {
            self.classes.add(y)?;
        }
        let scores = Self::scores(py, &answers, y)?;
        self.spare = answers;
        let eta = self.eta;
        reweight(&mut self.weights, &scores, |total, weight| {
            let probability = total / weight;
            if eta == 1.0 {
                probability
            } else {
                power(probability, eta)
            }
        });
        self.weights.learn(py, |member| member.learn_label(py, values, y, next))
    }
}

impl Classifies for ClassifierMixture {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.next = None;
        let answers = self.ask(py, values, true)?;
        let (weights, known) = self.mix(py, &answers)?;
        if !known {
            to.take(&self.mixed_with_others(py, &answers)?)?;
        } else if weights != 0.0 {
            to.scratch.clear();
            to.scratch.extend(self.mixed.iter().map(|p| p / weights));
            let classes = &self.classes.names;
            to.extend(py, classes, 0..classes.len());
        }
        self.next = self.cache.pass(py, values, answers)?;
        Ok(())
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let answers = match self.next.take() {
            Some(answers) => answers,
            None => self.ask(py, values, true)?,
        };
        self.learn_answers(py, values, y, answers, true)
    }

    fn changes(&self, py: Python) -> PyResult<u64> {
        self.weights.changes(py)
    }
}

fn scaled<'py>(py: Python<'py>, classes: &Table, mixed: &[f64], weights: f64) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    if weights != 0.0 {
        for (label, p) in classes.names.iter().zip(mixed) {
            made.set_item(label, p / weights)?;
        }
    }
    Ok(made)
}

/// Update the weights by each member's score; None, for a member without a prediction, counts as the mean of the others.
pub fn reweight(weights: &mut Weights, scores: &[Option<f64>], factor: impl Fn(f64, f64) -> f64) {
    let (mut total, mut sum) = (0.0, 0.0);
    for (weight, score) in weights.weights.iter().zip(scores) {
        if let Some(score) = score {
            total += weight * score;
            sum += weight;
        }
    }
    if sum != 0.0 {
        let of_mean = factor(total, sum);
        weights.reweight(|member| scores[member].map_or(of_mean, |score| factor(score, 1.0)));
    }
}

#[pymethods]
impl ClassifierMixture {
    #[new]
    fn new(py: Python, models: Vec<Bound<PyAny>>, eta: f64, share: f64) -> PyResult<ClassifierMixture> {
        let (cache, classes) = (Cache::new(py), Table::new(py));
        Ok(ClassifierMixture { weights: Weights::new(models, share)?, eta, cache, classes, mixed: vec![], next: None, spare: Answers::default() })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = x.py();
        let values = values(x)?;
        let answers = self.ask(py, &values, false)?;
        let (weights, known) = self.mix(py, &answers)?;
        let proba = match known {
            true => scaled(py, &self.classes, &self.mixed, weights)?,
            false => self.mixed_with_others(py, &answers)?,
        };
        self.cache.put(py, &values, answers)?;
        Ok(proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(x.py(), &values(x)?, y)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
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
        let classes = listed(py, &self.classes.names)?.into_any().unbind();
        Ok((self.weights.models(py), self.weights.standing(), self.cache.state(py)?, classes))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        self.classes = Table::of(py, state.3.bind(py).cast::<PyList>().map_err(|_| Damaged)?.as_any())?;
        restored(&mut self.weights, state.1)?;
        self.cache.restore(state.2.bind(py))
    }
}

pub fn restored(weights: &mut Weights, standing: Standing) -> PyResult<()> {
    match weights.restore(standing) {
        true => Ok(()),
        false => Err(Damaged.into()),
    }
}
