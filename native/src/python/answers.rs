//! What the members of a mixture say to one event.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::cache::Kept;

/// The probabilities of every member one after the other, each with its label.
#[derive(Default)]
pub struct Answers {
    labels: Vec<Py<PyAny>>,
    proba: Vec<f64>,
    /// By member: where its probabilities end, and whether they can be used.
    members: Vec<(usize, bool)>,
    /// The probabilities of the member that is being asked, by the number of the class.
    pub scratch: Vec<f64>,
}

impl Answers {
    /// Take probabilities out of `scratch` in an order.
    pub fn extend(&mut self, py: Python, labels: &[Py<PyAny>], order: impl Iterator<Item = usize>) {
        for class in order {
            self.labels.push(labels[class].clone_ref(py));
            self.proba.push(self.scratch[class]);
        }
    }

    pub fn clear(&mut self) {
        self.labels.clear();
        self.proba.clear();
        self.members.clear();
    }

    fn begin(&self) -> usize {
        self.members.last().map_or(0, |last| last.0)
    }

    /// What the member said that was asked last is complete: scaled to a sum of 1 where it is not.
    pub fn end_member(&mut self) {
        let begin = self.begin();
        let proba = &mut self.proba[begin..];
        let total = proba.iter().fold(0.0, |total, p| total + p);
        let usable = if 0.999999 < total && total < 1.000001 {
            true
        } else if 0.0 < total && total < f64::INFINITY {
            proba.iter_mut().for_each(|p| *p /= total);
            true
        } else {
            self.proba.truncate(begin);
            self.labels.truncate(begin);
            false
        };
        self.members.push((self.proba.len(), usable));
    }

    /// The member that was asked last has failed.
    pub fn fail_member(&mut self) {
        let begin = self.begin();
        self.proba.truncate(begin);
        self.labels.truncate(begin);
        self.members.push((begin, false));
    }

    /// Where the answers of the member that is being asked begin; its most probable label, the first of equal ones.
    pub fn most_probable(&self, py: Python) -> Option<Py<PyAny>> {
        let begin = self.begin();
        let mut best = None;
        for (at, &p) in self.proba.iter().enumerate().skip(begin) {
            if best.is_none_or(|(_, most)| p > most) {
                best = Some((at, p));
            }
        }
        best.map(|(at, _)| self.labels[at].clone_ref(py)).filter(|label| !label.is_none(py))
    }

    /// Of the answers of the only member: the most probable label, the first of equal ones, and its probability.
    pub fn best<'py>(&self, py: Python<'py>) -> Option<(Bound<'py, PyAny>, f64)> {
        let mut best = self.proba.first().map(|&p| (0, p));
        for (at, &p) in self.proba.iter().enumerate().skip(1) {
            if best.is_some_and(|(_, most)| p > most) {
                best = Some((at, p));
            }
        }
        best.map(|(at, p)| (self.labels[at].bind(py).clone(), p))
    }

    /// Of the answers of the only member: what it gives a label.
    pub fn probability_of(&self, label: &Bound<PyAny>) -> PyResult<Option<f64>> {
        for (each, &p) in self.labels.iter().zip(&self.proba) {
            if each.is(label) || each.bind(label.py()).eq(label)? {
                return Ok(Some(p));
            }
        }
        Ok(None)
    }

    /// Whether every number can be shown.
    pub fn is_finite(&self) -> bool {
        self.proba.iter().all(|p| p.is_finite())
    }

    /// Take the answers that Python gives as a dict.
    pub fn take(&mut self, proba: &Bound<PyDict>) -> PyResult<()> {
        for (label, p) in proba.iter() {
            self.labels.push(label.unbind());
            self.proba.push(p.extract()?);
        }
        Ok(())
    }

    /// By member: labels and probabilities, where they can be used.
    pub fn each(&self) -> impl Iterator<Item = Option<(&[Py<PyAny>], &[f64])>> {
        let mut begin = 0;
        self.members.iter().map(move |&(end, usable)| {
            let from = std::mem::replace(&mut begin, end);
            usable.then(|| (&self.labels[from..end], &self.proba[from..end]))
        })
    }

    /// The answers of the only member as Python gives them.
    pub fn alone<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        dict(py, &self.labels, &self.proba)
    }
}

fn dict<'py>(py: Python<'py>, labels: &[Py<PyAny>], proba: &[f64]) -> PyResult<Bound<'py, PyDict>> {
    let made = PyDict::new(py);
    for (label, p) in labels.iter().zip(proba) {
        made.set_item(label, p)?;
    }
    Ok(made)
}

impl Kept for Answers {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        let made = PyList::empty(py);
        for each in self.each() {
            match each {
                Some((labels, proba)) => made.append(dict(py, labels, proba)?)?,
                None => made.append(py.None())?,
            }
        }
        Ok(made.into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Answers> {
        let mut answers = Answers::default();
        for each in kept.try_iter()? {
            let each = each?;
            let usable = !each.is_none();
            if usable {
                answers.take(each.cast::<PyDict>()?)?;
            }
            answers.members.push((answers.proba.len(), usable));
        }
        Ok(answers)
    }
}

/// Of a classifier that restarts: its label, or none.
impl Kept for Option<Py<PyAny>> {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        Ok(self.as_ref().map_or_else(|| py.None(), |label| label.clone_ref(py)))
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Option<Py<PyAny>>> {
        Ok((!kept.is_none()).then(|| kept.clone().unbind()))
    }
}

/// Of a regressor that restarts.
impl Kept for f64 {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        Ok(self.into_pyobject(py)?.into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<f64> {
        kept.extract()
    }
}

/// Of the members of a mixture of regressors; None for one that failed.
impl Kept for Vec<Option<f64>> {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>> {
        Ok(PyList::new(py, self)?.into_any().unbind())
    }

    fn read(kept: &Bound<PyAny>) -> PyResult<Vec<Option<f64>>> {
        kept.extract()
    }
}
