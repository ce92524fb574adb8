//! The cores of `FastHDDMA` and `FastADWIN`, and a detector of any kind.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{call, Block};
use crate::adwin;
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

#[pyclass(module = "stream_retrain._native")]
pub struct Adwin(adwin::Adwin);

#[pymethods]
impl Adwin {
    #[new]
    fn new(delta: f64, clock: u32, max_buckets: u32, min_window_length: u32, grace_period: u32) -> Adwin {
        Adwin(adwin::Adwin::new(adwin::Parameters {
            delta,
            clock: clock as usize,
            max_buckets: max_buckets as usize,
            min_window_length: f64::from(min_window_length),
            grace_period: f64::from(grace_period),
        }))
    }

    fn update(&mut self, x: &Bound<PyAny>) -> PyResult<()> {
        self.0.update(taken(x)?);
        Ok(())
    }

    fn update_many(&mut self, values: &Bound<PyAny>) -> PyResult<Option<usize>> {
        for (place, x) in values.try_iter()?.enumerate() {
            if self.0.update(taken(&x?)?) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn add(&mut self, x: &Bound<PyAny>) -> PyResult<bool> {
        Ok(self.0.add(taken(x)?))
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    #[getter]
    fn drift(&self) -> bool {
        self.0.drift
    }

    #[getter]
    fn width(&self) -> u64 {
        self.0.width()
    }

    #[getter]
    fn total(&self) -> f64 {
        self.0.total
    }

    #[getter]
    fn variance(&self) -> f64 {
        self.0.variance
    }

    #[getter]
    fn detections(&self) -> usize {
        self.0.detections
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

/// A value that the window takes.
fn taken(x: &Bound<PyAny>) -> PyResult<f64> {
    match x.extract() {
        Ok(value) if adwin::Adwin::takes(value) => Ok(value),
        _ => call(x.py(), "stream_retrain.models.plain_adwin", "checked", x)?.extract(),
    }
}

/// Where a detector of this project is computed.
enum Core {
    Hddma(Py<Hddma>),
    Adwin(Py<Adwin>),
}

/// A detector of River's, compiled or not.
pub struct Detector {
    pub object: Py<PyAny>,
    core: Option<Core>,
}

impl Detector {
    pub fn of(object: &Bound<PyAny>) -> PyResult<Detector> {
        let core = match is_ours(object)? {
            false => None, // a subclass may do otherwise
            true => {
                let held = object.getattr("_core")?;
                held.extract().map(Core::Hddma).or_else(|_| held.extract().map(Core::Adwin)).ok()
            }
        };
        Ok(Detector { object: object.clone().unbind(), core })
    }

    /// Add an error; whether it is an alarm.
    pub fn update(&self, py: Python, error: f64) -> PyResult<bool> {
        match &self.core {
            Some(Core::Hddma(core)) => Ok(core.try_borrow_mut(py)?.0.update(error)),
            Some(Core::Adwin(core)) => Ok(core.try_borrow_mut(py)?.0.update(error)),
            None => {
                let object = self.object.bind(py);
                object.call_method1("update", (error,))?;
                object.getattr("drift_detected")?.is_truthy()
            }
        }
    }

    pub fn untrained(&self, py: Python) -> PyResult<Detector> {
        Detector::of(&self.object.bind(py).call_method0("clone")?)
    }
}

/// Whether it is one of this project's detectors itself.
fn is_ours(object: &Bound<PyAny>) -> PyResult<bool> {
    let (py, kind) = (object.py(), object.get_type());
    for (module, name) in [("fast_hddma", "FastHDDMA"), ("fast_adwin", "FastADWIN")] {
        if kind.is(&py.import(format!("stream_retrain.models.{module}"))?.getattr(name)?) {
            return Ok(true);
        }
    }
    Ok(false)
}
