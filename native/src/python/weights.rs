//! The members of a mixture and their weights: see `stream_retrain/models/mixture.py`.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::member::Member;
use crate::stacking::share;

/// A member becomes the leader when its weight is more than this many times the leader's.
const LEAD: f64 = 2.0;

pub struct Weights {
    pub members: Vec<Member>,
    pub weights: Vec<f64>,
    share: f64,
    leader: usize,
    changes: u64,
    failures: Vec<u64>,
    restarts: Vec<u64>,
}

/// Weights, leader, changes, failures and restarts.
pub type Standing = (Vec<f64>, usize, u64, Vec<u64>, Vec<u64>);

impl Weights {
    pub fn new(models: Vec<Bound<PyAny>>, share: f64) -> PyResult<Weights> {
        let count = models.len();
        let members = models.iter().map(Member::of).collect::<PyResult<Vec<_>>>()?;
        let weights = vec![1.0 / count as f64; count];
        Ok(Weights { members, weights, share, leader: 0, changes: 0, failures: vec![0; count], restarts: vec![0; count] })
    }

    pub fn models(&self, py: Python) -> Vec<Py<PyAny>> {
        self.members.iter().map(|member| member.estimator.clone_ref(py)).collect()
    }

    /// Restarts of members and changes of the leader so far.
    pub fn changes(&self, py: Python) -> PyResult<u64> {
        self.members.iter().try_fold(self.changes, |changes, member| Ok(changes + member.restarts(py)?))
    }

    /// What is not in the members.
    pub fn standing(&self) -> Standing {
        (self.weights.clone(), self.leader, self.changes, self.failures.clone(), self.restarts.clone())
    }

    pub fn restore(&mut self, standing: Standing) -> bool {
        let count = self.members.len();
        let whole = standing.0.len() == count && standing.1 < count && standing.3.len() == count && standing.4.len() == count;
        if whole {
            (self.weights, self.leader, self.changes, self.failures, self.restarts) = standing;
        }
        whole
    }

    /// Multiply each weight by its factor, scale the sum to 1 - share, and add an equal part of `share` to each weight.
    pub fn reweight(&mut self, factor: impl Fn(usize) -> f64) {
        for (member, weight) in self.weights.iter_mut().enumerate() {
            *weight *= factor(member);
        }
        share(&mut self.weights, self.share);
        let mut highest = 0;
        for member in 0..self.weights.len() {
            if self.weights[member] > self.weights[highest] {
                highest = member;
            }
        }
        if self.weights[highest] > LEAD * self.weights[self.leader] {
            self.leader = highest;
            self.changes += 1;
        }
    }

    /// Let every member learn; one that raises is restarted and learns this event first.
    pub fn learn(&mut self, py: Python, learn: impl Fn(usize, &Member) -> PyResult<()>) -> PyResult<()> {
        for index in 0..self.members.len() {
            if !failed(py, learn(index, &self.members[index]))? {
                continue;
            }
            self.restart(py, index)?;
            if failed(py, learn(index, &self.members[index]))? {
                self.members[index] = self.members[index].untrained(py)?;
            }
        }
        Ok(())
    }

    /// Count a failure of a member, and replace it by an untrained one.
    pub fn restart(&mut self, py: Python, index: usize) -> PyResult<()> {
        let lost = self.members[index].restarts(py)?;
        self.members[index] = self.members[index].untrained(py)?;
        self.failures[index] += 1;
        self.restarts[index] += lost + 1;
        self.changes += lost + 1;
        Ok(())
    }
}

/// Whether a member raised; what no member may catch is raised again.
pub fn failed<T>(py: Python, done: PyResult<T>) -> PyResult<bool> {
    match done {
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        done => Ok(done.is_err()),
    }
}
