//! `FastHDDMA`'s core, and a detector of any kind.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::Block;
use crate::block::Writer;
use crate::detector;

#[pyclass(module = "stream_retrain._native")]
pub struct Hddma(detector::Hddma);

#[pymethods]
impl Hddma {
    #[new]
    fn new(drift_confidence: f64, warning_confidence: f64) -> Hddma {
        Hddma(detector::Hddma::new(drift_confidence, warning_confidence))
    }

    fn update(&mut self, error: f64) {
        self.0.update(error);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    #[getter]
    fn drift(&self) -> bool {
        self.0.drift
    }

    #[getter]
    fn warning(&self) -> bool {
        self.0.warning
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let mut to = Writer::default();
        self.0.write(&mut to);
        Block::written(py, to)
    }

    fn restore(&mut self, state: &Bound<PyAny>) -> PyResult<()> {
        let block = Block::of(state)?;
        let mut reader = block.reader()?;
        self.0.read(&mut reader)?;
        Ok(reader.end()?)
    }
}

/// A detector of River's, compiled or not.
pub struct Detector {
    pub object: Py<PyAny>,
    core: Option<Py<Hddma>>,
}

impl Detector {
    pub fn of(object: &Bound<PyAny>) -> PyResult<Detector> {
        let ours = object.py().import("stream_retrain.models.fast_hddma")?.getattr("FastHDDMA")?;
        let core = match object.get_type().is(&ours) {
            true => object.getattr("_core")?.extract::<Py<Hddma>>().ok(),
            false => None, // a subclass may do otherwise
        };
        Ok(Detector { object: object.clone().unbind(), core })
    }

    /// Add an error; whether it is an alarm.
    pub fn update(&self, py: Python, error: f64) -> PyResult<bool> {
        if let Some(core) = &self.core {
            return Ok(core.try_borrow_mut(py)?.0.update(error));
        }
        let object = self.object.bind(py);
        object.call_method1("update", (error,))?;
        object.getattr("drift_detected")?.is_truthy()
    }

    pub fn untrained(&self, py: Python) -> PyResult<Detector> {
        Detector::of(&self.object.bind(py).call_method0("clone")?)
    }
}
