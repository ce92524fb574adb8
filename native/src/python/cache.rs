//! Predictions kept until their labels come: see `stream_retrain/models/prediction_cache.py`.
//!
//! Where each label comes before the next event, there is one prediction at a time: it waits in `pending`, and its event is not hashed.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::values::Value;

const PREDICTIONS_MAX: usize = 1_000;

/// A prediction as Python keeps it, and back.
pub trait Kept: Sized {
    fn written(&self, py: Python) -> PyResult<Py<PyAny>>;
    fn read(kept: &Bound<PyAny>) -> PyResult<Self>;
}

struct Pending<P> {
    /// Names and values.
    event: Vec<(Py<PyAny>, Py<PyAny>)>,
    prediction: P,
}

pub struct Cache<P> {
    /// Only while nothing else is kept.
    pending: Option<Pending<P>>,
    /// By the event's values: its names and the prediction.
    kept: Py<PyDict>,
    limit: usize,
}

impl<P: Kept> Cache<P> {
    pub fn new(py: Python) -> Cache<P> {
        Cache::limited(py, PREDICTIONS_MAX)
    }

    pub fn limited(py: Python, limit: usize) -> Cache<P> {
        Cache { pending: None, kept: PyDict::new(py).unbind(), limit }
    }

    /// Keep the prediction for an event; it is not kept if the event cannot be hashed.
    pub fn put(&mut self, py: Python, values: &[Value], prediction: P) -> PyResult<()> {
        self.settle(py)?;
        if self.kept.bind(py).is_empty() && values.iter().all(Value::is_plain) {
            let event = values.iter().map(|value| (value.name.clone().unbind(), value.object.clone().unbind())).collect();
            self.pending = Some(Pending { event, prediction });
            return Ok(());
        }
        let (names, key) = named(py, values)?;
        self.insert(py, key, names, &prediction)
    }

    /// Remove the prediction kept for an event; None if there is none.
    pub fn take(&mut self, py: Python, values: &[Value]) -> PyResult<Option<P>> {
        if let Some(pending) = &self.pending {
            if is_same(py, &pending.event, values)? {
                return Ok(self.pending.take().map(|pending| pending.prediction));
            }
            self.settle(py)?;
        }
        let kept = self.kept.bind(py);
        if kept.is_empty() {
            return Ok(None);
        }
        let (names, key) = named(py, values)?;
        let found = match kept.get_item(&key) {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(None),
            found => found?,
        };
        let Some(found) = found else { return Ok(None) };
        let (its_names, prediction) = found.extract::<(Bound<PyAny>, Bound<PyAny>)>()?;
        if !its_names.eq(&names)? {
            return Ok(None);
        }
        kept.del_item(&key)?;
        P::read(&prediction).map(Some)
    }

    /// Keep a prediction and take it again at once, as it is where nothing else waits; None where it cannot be kept.
    pub fn pass(&mut self, py: Python, values: &[Value], prediction: P) -> PyResult<Option<P>> {
        if self.len(py) == 0 {
            return Ok(Some(prediction));
        }
        self.put(py, values, prediction)?;
        self.take(py, values)
    }

    pub fn clear(&mut self, py: Python) {
        self.pending = None;
        self.kept.bind(py).clear();
    }

    pub fn len(&self, py: Python) -> usize {
        self.kept.bind(py).len() + usize::from(self.pending.is_some())
    }

    /// All that is kept, as in Python.
    pub fn state(&mut self, py: Python) -> PyResult<Py<PyDict>> {
        self.settle(py)?;
        Ok(self.kept.bind(py).copy()?.unbind())
    }

    pub fn restore(&mut self, kept: &Bound<PyDict>) -> PyResult<()> {
        self.pending = None;
        self.kept = kept.copy()?.unbind();
        Ok(())
    }

    /// Put the prediction that waits among the others.
    fn settle(&mut self, py: Python) -> PyResult<()> {
        let Some(Pending { event, prediction }) = self.pending.take() else { return Ok(()) };
        let names = PyTuple::new(py, event.iter().map(|each| &each.0))?;
        let key = PyTuple::new(py, event.iter().map(|each| &each.1))?;
        self.insert(py, key, names, &prediction)
    }

    fn insert(&self, py: Python, key: Bound<PyTuple>, names: Bound<PyTuple>, prediction: &P) -> PyResult<()> {
        let kept = self.kept.bind(py);
        match kept.set_item(key, (names, prediction.written(py)?)) {
            Err(error) if error.is_instance_of::<PyTypeError>(py) => return Ok(()),
            done => done?,
        }
        if kept.len() > self.limit {
            if let Some(oldest) = kept.try_iter()?.next() {
                kept.del_item(oldest?)?;
            }
        }
        Ok(())
    }
}

/// The names of an event, and its values.
fn named<'py>(py: Python<'py>, values: &[Value<'py>]) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyTuple>)> {
    let names = PyTuple::new(py, values.iter().map(|value| &value.name))?;
    Ok((names, PyTuple::new(py, values.iter().map(|value| &value.object))?))
}

fn is_same(py: Python, event: &[(Py<PyAny>, Py<PyAny>)], values: &[Value]) -> PyResult<bool> {
    if event.len() != values.len() {
        return Ok(false);
    }
    for ((name, object), value) in event.iter().zip(values) {
        if !(name.is(&value.name) || name.bind(py).eq(&value.name)?) || !(object.is(&value.object) || object.bind(py).eq(&value.object)?) {
            return Ok(false);
        }
    }
    Ok(true)
}
