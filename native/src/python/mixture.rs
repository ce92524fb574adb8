//! The core of mixtures of classifiers whose members are all compiled: see `stream_retrain/models/mixture.py`.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::cache::{Cache, Kept};
use super::step::{classify, Classifies, Wanted};
use super::values::{values, Table, Value};
use super::weights::{failed, Standing, Weights};
use super::{listed, Block};
use crate::arithmetic::power;
use crate::block::{Damaged, Reader, Writer};
use crate::stacking::{clipped, Stackings};

const PROBABILITY_MIN: f64 = 0.02;
pub const SERVED_MAX: usize = 2_000;

/// What the levels of the stackings said to an event, one after the other.
struct Served(Vec<f64>);

impl Kept for Served {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        let mut to = Writer::default();
        to.row(&self.0);
        Ok(PyBytes::new(py, &to.block().1).into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Served> {
        let floats = kept.cast::<PyBytes>().map_err(|_| Damaged)?.as_bytes();
        Ok(Served(Reader::new(&[], floats)?.row(floats.len() / 8)?))
    }
}

/// The models, what is not in them, what is kept, and the classes.
type State = (Vec<Py<PyAny>>, Standing, Py<PyDict>, Py<PyAny>);

#[pyclass(module = "stream_retrain._native")]
pub struct ClassifierMixture {
    weights: Weights,
    eta: f64,
    cache: Cache<Answers>,
    classes: Table,
    stackings: Option<Stackings>,
    served: Cache<Served>,
    mixed: Vec<f64>,
    /// What the members said to the event that is learned next, and whether the stackings have taken it.
    next: Option<(Answers, bool)>,
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

    /// The weighted mean of the members by class; false where a member knows a label that the mixture does not.
    fn mean(&mut self, py: Python, answers: &Answers) -> PyResult<(f64, bool)> {
        let classes = self.classes.names.len();
        self.mixed.clear();
        self.mixed.resize(classes, 0.0);
        let mut rows = self.stackings.as_mut().map(|stackings| {
            stackings.begin(classes);
            stackings.rows.chunks_mut(classes.max(1))
        });
        let mut weights = 0.0;
        for (weight, each) in self.weights.weights.iter().zip(answers.each()) {
            let mut row = rows.as_mut().and_then(Iterator::next);
            let Some((labels, proba)) = each else { continue };
            weights += weight;
            for (label, p) in labels.iter().zip(proba) {
                let Some(class) = self.classes.find_same(label.bind(py))? else { return Ok((weights, false)) };
                self.mixed[class as usize] += weight * p;
                if let Some(row) = &mut row {
                    row[class as usize] = *p;
                }
            }
        }
        Ok((weights, true))
    }

    /// The same, and what the stackings make of it; whether they have taken the event.
    fn stack(&mut self, py: Python, answers: &Answers) -> PyResult<(f64, bool, bool)> {
        let (weights, known) = self.mean(py, answers)?;
        let Some(stackings) = &mut self.stackings else { return Ok((weights, known, false)) };
        let stacks = known && weights != 0.0 && self.mixed.len() > 1;
        if stacks {
            self.mixed.iter_mut().for_each(|p| *p /= weights);
            stackings.answer(&self.mixed, answers.each().map(|each| each.is_some()));
        }
        Ok((weights, known, stacks))
    }

    /// The probability of every class, in `mixed`, to be divided by the weight that is returned; the rest as in `stack`.
    fn mix(&mut self, py: Python, answers: &Answers) -> PyResult<(f64, bool, bool)> {
        let (weights, known, stacked) = self.stack(py, answers)?;
        match &self.stackings {
            Some(stackings) if stacked => {
                stackings.mean(&mut self.mixed);
                Ok((1.0, known, stacked))
            }
            _ => Ok((weights, known, stacked)),
        }
    }

    /// Keep what the levels said until the label comes.
    fn keep_served(&mut self, py: Python, values: &[Value], stacked: bool) -> PyResult<()> {
        match &self.stackings {
            Some(stackings) if stacked => self.served.put(py, values, Served(stackings.levels().to_vec())),
            _ => Ok(()),
        }
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
            scores.push(Some(clipped(p, PROBABILITY_MIN)));
        }
        Ok(scores)
    }

    fn learn_values(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let answers = match self.cache.take(py, values)? {
            Some(answers) => answers,
            None => self.ask(py, values, false)?,
        };
        self.learn_answers(py, values, y, answers, false, false)
    }

    /// `stacked`: the stackings have taken what the members said.
    fn learn_answers(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>, answers: Answers, next: bool, stacked: bool) -> PyResult<()> {
        for (index, each) in answers.each().enumerate() {
            let again = &mut Answers::default();
            if each.is_none() && failed(py, self.weights.members[index].predict_proba(py, values, again, next))? {
                self.weights.restart(py, index)?;
            }
        }
        let served = self.served.take(py, values)?;
        let (class, known) = match self.classes.find_same(y)? {
            Some(class) => (class, true),
            None => (self.classes.add(y)?, false),
        };
        if self.stackings.is_some() && ((stacked && known) || self.stack(py, &answers)?.2) {
            let served = served.as_ref().map(|served| served.0.as_slice());
            self.stackings.iter_mut().try_for_each(|stackings| stackings.learn(class as usize, served))?;
        }
        let scores = Self::scores(py, &answers, y)?;
        self.spare = answers;
        let eta = self.eta;
        reweight(&mut self.weights, &scores, |total, weight| {
            let probability = total / weight;
            match eta {
                1.0 => probability,
                0.25 => probability.sqrt().sqrt(),
                _ => power(probability, eta),
            }
        });
        self.weights.learn(py, |_, member| member.learn_label(py, values, y, next))
    }
}

impl Classifies for ClassifierMixture {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.next = None;
        let answers = self.ask(py, values, true)?;
        let (weights, known, stacked) = self.mix(py, &answers)?;
        if self.served.len(py) != 0 {
            self.keep_served(py, values, stacked)?;
        }
        if !known {
            to.take(&self.mixed_with_others(py, &answers)?)?;
        } else if weights != 0.0 {
            to.scratch.clear();
            to.scratch.extend(self.mixed.iter().map(|p| p / weights));
            let classes = &self.classes.names;
            to.extend(py, classes, 0..classes.len());
        }
        self.next = self.cache.pass(py, values, answers)?.map(|answers| (answers, stacked));
        Ok(())
    }

    fn learn_next(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        let (answers, stacked) = match self.next.take() {
            Some(next) => next,
            None => (self.ask(py, values, true)?, false),
        };
        self.learn_answers(py, values, y, answers, true, stacked)
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
    fn new(py: Python, models: Vec<Bound<PyAny>>, eta: f64, share: f64, rates: Vec<f64>) -> PyResult<ClassifierMixture> {
        let (cache, served, classes) = (Cache::new(py), Cache::limited(py, SERVED_MAX), Table::new(py));
        let stackings = (!rates.is_empty()).then(|| Stackings::new(&rates, models.len()));
        let weights = Weights::new(models, share)?;
        Ok(ClassifierMixture { weights, eta, cache, classes, stackings, served, mixed: vec![], next: None, spare: Answers::default() })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let py = x.py();
        let values = values(x)?;
        let answers = self.ask(py, &values, false)?;
        let (weights, known, stacked) = self.mix(py, &answers)?;
        self.keep_served(py, &values, stacked)?;
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
        let mut own = listed(py, &self.classes.names)?.into_any();
        if let Some(stackings) = &self.stackings {
            let mut to = Writer::default();
            stackings.write(&mut to);
            own = (own, Block::written(py, to)?, self.served.state(py)?).into_pyobject(py)?.into_any();
        }
        Ok((self.weights.models(py), self.weights.standing(), self.cache.state(py)?, own.unbind()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let mut own = state.3.bind(py).clone();
        if let Some(stackings) = &mut self.stackings {
            let (classes, block, served) = own.extract::<(Bound<PyAny>, Bound<PyAny>, Bound<PyDict>)>().map_err(|_| Damaged)?;
            let (block, known) = (Block::of(&block)?, classes.len().map_err(|_| Damaged)?);
            let mut reader = block.reader()?;
            stackings.read(&mut reader, known)?;
            reader.end()?;
            self.served.restore(&served)?;
            own = classes;
        }
        self.classes = Table::of(py, own.cast::<PyList>().map_err(|_| Damaged)?.as_any())?;
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
