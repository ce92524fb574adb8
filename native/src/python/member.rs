//! The compiled cores of models that restart or that are mixed, each beside the River estimator that holds it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

use super::additive::{AdditiveClassifier, AdditiveRegressor};
use super::answers::Answers;
use super::forest::Forest;
use super::forest_regressor::ForestRegressor;
use super::nearest::{NearestClassifier, NearestRegressor};
use super::regression::TreeRegressor;
use super::restarting::{RestartingClassifier, RestartingRegressor};
use super::step::{Classifies, Regresses};
use super::tree::Tree;
use super::values::Value;

/// A classifier that can be a member. It also takes events whose labels come later.
pub trait ClassifierMember: Classifies {
    fn predict_any(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_next(py, values, to)
    }
    fn learn_any(&mut self, py: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_next(py, values, y)
    }
    /// One with the same parameters that has learned nothing.
    fn untrained(&self, py: Python) -> PyResult<Self>
    where
        Self: Sized;
}

/// A regressor that can.
pub trait RegressorMember: Regresses {
    fn predict_any(&mut self, py: Python, values: &[Value]) -> PyResult<f64> {
        self.predict_next(py, values)
    }
    fn learn_any(&mut self, py: Python, values: &[Value], y: f64) -> PyResult<()> {
        self.learn_next(py, values, y)
    }
    fn untrained(&self, py: Python) -> PyResult<Self>
    where
        Self: Sized;
}

/// The cores of a task, each shared with its estimator.
macro_rules! cores {
    ($cores:ident of $task:ident: $($core:ident),+) => {
        #[allow(clippy::enum_variant_names)] // they are the names of the cores
        enum $cores {
            $($core(Py<$core>)),+
        }

        impl $cores {
            fn of(held: &Bound<PyAny>) -> Option<$cores> {
                $(if let Ok(core) = held.extract() {
                    return Some($cores::$core(core));
                })+
                None
            }

            fn with<T>(&self, py: Python, act: impl FnOnce(&mut dyn $task) -> PyResult<T>) -> PyResult<T> {
                match self {
                    $($cores::$core(core) => act(&mut *core.try_borrow_mut(py)?)),+
                }
            }

            fn untrained(&self, py: Python) -> PyResult<Py<PyAny>> {
                match self {
                    $($cores::$core(core) => Ok(Py::new(py, core.try_borrow(py)?.untrained(py)?)?.into_any())),+
                }
            }
        }
    };
}

cores!(Classifiers of ClassifierMember: Tree, AdditiveClassifier, Forest, NearestClassifier, RestartingClassifier);
cores!(Regressors of RegressorMember: TreeRegressor, AdditiveRegressor, ForestRegressor, NearestRegressor, RestartingRegressor);

enum Core {
    Classifier(Classifiers),
    Regressor(Regressors),
}

pub struct Member {
    pub estimator: Py<PyAny>,
    core: Core,
}

impl Member {
    /// Raises TypeError where the estimator has no compiled core.
    pub fn of(estimator: &Bound<PyAny>) -> PyResult<Member> {
        let held = estimator.getattr("_core")?;
        let core = if let Some(core) = Classifiers::of(&held) {
            Core::Classifier(core)
        } else if let Some(core) = Regressors::of(&held) {
            Core::Regressor(core)
        } else {
            return Err(PyTypeError::new_err("this model is not compiled"));
        };
        Ok(Member { estimator: estimator.clone().unbind(), core })
    }

    fn classifier(&self) -> PyResult<&Classifiers> {
        match &self.core {
            Core::Classifier(core) => Ok(core),
            Core::Regressor(_) => Err(other()),
        }
    }

    fn regressor(&self) -> PyResult<&Regressors> {
        match &self.core {
            Core::Regressor(core) => Ok(core),
            Core::Classifier(_) => Err(other()),
        }
    }

    /// The probabilities by label, in the order in which the estimator gives them. `next`: the event is learned next.
    pub fn predict_proba(&self, py: Python, values: &[Value], to: &mut Answers, next: bool) -> PyResult<()> {
        self.classifier()?.with(py, |core| match next {
            true => core.predict_next(py, values, to),
            false => core.predict_any(py, values, to),
        })
    }

    /// `next`: the event was predicted last.
    pub fn learn_label(&self, py: Python, values: &[Value], y: &Bound<PyAny>, next: bool) -> PyResult<()> {
        self.classifier()?.with(py, |core| match next {
            true => core.learn_next(py, values, y),
            false => core.learn_any(py, values, y),
        })
    }

    pub fn predict_number(&self, py: Python, values: &[Value], next: bool) -> PyResult<f64> {
        self.regressor()?.with(py, |core| match next {
            true => core.predict_next(py, values),
            false => core.predict_any(py, values),
        })
    }

    pub fn learn_number(&self, py: Python, values: &[Value], y: f64, next: bool) -> PyResult<()> {
        self.regressor()?.with(py, |core| match next {
            true => core.learn_next(py, values, y),
            false => core.learn_any(py, values, y),
        })
    }

    /// Restarts so far.
    pub fn restarts(&self, py: Python) -> PyResult<u64> {
        match &self.core {
            Core::Classifier(core) => core.with(py, |core| core.changes(py)),
            Core::Regressor(core) => core.with(py, |core| core.changes(py)),
        }
    }

    /// An untrained one, compiled whatever the setting is now.
    pub fn untrained(&self, py: Python) -> PyResult<Member> {
        let fresh = self.estimator.bind(py).call_method0("clone")?;
        let core = match &self.core {
            Core::Classifier(core) => core.untrained(py)?,
            Core::Regressor(core) => core.untrained(py)?,
        };
        fresh.setattr("_core", core)?;
        Member::of(&fresh)
    }
}

fn other() -> PyErr {
    PyTypeError::new_err("this member is for another task")
}
