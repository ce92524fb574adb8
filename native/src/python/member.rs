//! The compiled cores of models that restart or that are mixed, each beside the River estimator that holds it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::additive::{AdditiveClassifier, AdditiveRegressor};
use super::answers::Answers;
use super::regression::TreeRegressor;
use super::restarting::{RestartingClassifier, RestartingRegressor};
use super::step::{Classifies, Regresses};
use super::tree::Tree;
use super::values::Value;

/// A core that is shared with its estimator.
enum Core {
    Tree(Py<Tree>),
    Additive(Py<AdditiveClassifier>),
    Restarting(Py<RestartingClassifier>),
    TreeRegressor(Py<TreeRegressor>),
    AdditiveRegressor(Py<AdditiveRegressor>),
    RestartingRegressor(Py<RestartingRegressor>),
}

pub struct Member {
    pub estimator: Py<PyAny>,
    core: Core,
}

fn other() -> PyErr {
    PyTypeError::new_err("this member is for another task")
}

impl Member {
    /// Raises TypeError where the estimator has no compiled core.
    pub fn of(estimator: &Bound<PyAny>) -> PyResult<Member> {
        let held = estimator.getattr("_core")?;
        let core = if let Ok(core) = held.extract() {
            Core::Tree(core)
        } else if let Ok(core) = held.extract() {
            Core::Additive(core)
        } else if let Ok(core) = held.extract() {
            Core::Restarting(core)
        } else if let Ok(core) = held.extract() {
            Core::TreeRegressor(core)
        } else if let Ok(core) = held.extract() {
            Core::AdditiveRegressor(core)
        } else if let Ok(core) = held.extract() {
            Core::RestartingRegressor(core)
        } else {
            return Err(PyTypeError::new_err("this model is not compiled"));
        };
        Ok(Member { estimator: estimator.clone().unbind(), core })
    }

    /// The probabilities by label, in the order in which the estimator gives them. `next`: the event is learned next.
    pub fn predict_proba(&self, py: Python, values: &[Value], to: &mut Answers, next: bool) -> PyResult<()> {
        match &self.core {
            Core::Tree(core) => core.try_borrow_mut(py)?.predict_next(py, values, to)?,
            Core::Additive(core) => core.try_borrow_mut(py)?.predict_next(py, values, to)?,
            Core::Restarting(core) => {
                let core = &mut *core.try_borrow_mut(py)?;
                match next {
                    true => core.predict_next(py, values, to)?,
                    false => core.predict_values(py, values, to)?,
                }
            }
            _ => return Err(other()),
        }
        Ok(())
    }

    /// `next`: the event was predicted last.
    pub fn learn_label(&self, py: Python, values: &[Value], y: &Bound<PyAny>, next: bool) -> PyResult<()> {
        match &self.core {
            Core::Tree(core) => core.try_borrow_mut(py)?.learn_values(values, y, 1.0),
            Core::Additive(core) => core.try_borrow_mut(py)?.learn_values(values, y),
            Core::Restarting(core) => {
                let core = &mut *core.try_borrow_mut(py)?;
                match next {
                    true => core.learn_next(py, values, y),
                    false => core.learn_values(py, values, y),
                }
            }
            _ => Err(other()),
        }
    }

    pub fn predict_number(&self, py: Python, values: &[Value], next: bool) -> PyResult<f64> {
        match &self.core {
            Core::TreeRegressor(core) => core.try_borrow_mut(py)?.predict_values(values),
            Core::AdditiveRegressor(core) => core.try_borrow_mut(py)?.predict_values(values),
            Core::RestartingRegressor(core) => {
                let core = &mut *core.try_borrow_mut(py)?;
                match next {
                    true => core.predict_next(py, values),
                    false => core.predict_values(py, values),
                }
            }
            _ => Err(other()),
        }
    }

    pub fn learn_number(&self, py: Python, values: &[Value], y: f64, next: bool) -> PyResult<()> {
        match &self.core {
            Core::TreeRegressor(core) => core.try_borrow_mut(py)?.learn_values(values, y, 1.0),
            Core::AdditiveRegressor(core) => core.try_borrow_mut(py)?.learn_values(values, y),
            Core::RestartingRegressor(core) => {
                let core = &mut *core.try_borrow_mut(py)?;
                match next {
                    true => core.learn_next(py, values, y),
                    false => core.learn_values(py, values, y),
                }
            }
            _ => Err(other()),
        }
    }

    /// Restarts so far.
    pub fn restarts(&self, py: Python) -> PyResult<u64> {
        match &self.core {
            Core::Restarting(core) => Ok(core.try_borrow(py)?.changes),
            Core::RestartingRegressor(core) => Ok(core.try_borrow(py)?.changes),
            _ => Ok(0),
        }
    }

    /// An untrained one, compiled whatever the setting is now.
    pub fn untrained(&self, py: Python) -> PyResult<Member> {
        let fresh = self.estimator.bind(py).call_method0("clone")?;
        let core = match &self.core {
            Core::Tree(core) => Py::new(py, core.try_borrow(py)?.untrained(py))?.into_any(),
            Core::Additive(core) => Py::new(py, core.try_borrow(py)?.untrained(py))?.into_any(),
            Core::TreeRegressor(core) => Py::new(py, core.try_borrow(py)?.untrained(py))?.into_any(),
            Core::AdditiveRegressor(core) => Py::new(py, core.try_borrow(py)?.untrained(py))?.into_any(),
            Core::Restarting(core) => Py::new(py, core.try_borrow(py)?.untrained(py)?)?.into_any(),
            Core::RestartingRegressor(core) => Py::new(py, core.try_borrow(py)?.untrained(py)?)?.into_any(),
        };
        fresh.setattr("_core", core)?;
        Member::of(&fresh)
    }
}
