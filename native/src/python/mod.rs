//! The classes that Python sees: names, labels and categories around the models.

mod additive;
mod additive_model;
mod answers;
mod cache;
mod detector;
mod domain;
mod forest;
mod forest_regressor;
mod labels;
mod member;
mod mixture;
mod mixture_regressor;
mod nearest;
mod regression;
mod restarting;
mod rows;
mod step;
mod tree;
mod values;
mod weights;
mod window;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyTuple};

use crate::arithmetic;
use crate::block::{Damaged, Reader, Writer};
use crate::generator::Generator;
use crate::poisson::Poisson;

impl From<Damaged> for PyErr {
    fn from(_: Damaged) -> PyErr {
        PyValueError::new_err("the state of this model is damaged: it is shorter, longer or otherwise than such a model writes it")
    }
}

type Names = Vec<Py<PyAny>>;

/// The counts and floats of a state.
struct Block<'py>(Bound<'py, PyBytes>, Bound<'py, PyBytes>);

impl<'py> Block<'py> {
    fn of(value: &Bound<'py, PyAny>) -> PyResult<Block<'py>> {
        let (counts, floats) = value.extract::<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>().map_err(|_| Damaged)?;
        Ok(Block(counts, floats))
    }

    fn reader(&self) -> PyResult<Reader<'_>> {
        Ok(Reader::new(self.0.as_bytes(), self.1.as_bytes())?)
    }

    fn written(py: Python<'py>, to: Writer) -> PyResult<Bound<'py, PyTuple>> {
        let (counts, floats) = to.block();
        (PyBytes::new(py, &counts), PyBytes::new(py, &floats)).into_pyobject(py)
    }
}

/// The values of a Python function of the models' package; it is called where nothing is pressing.
fn call<'py>(py: Python<'py>, module: &str, function: &str, argument: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    py.import(module)?.getattr(function)?.call1((argument,))
}

/// The numbers of values in their order (`tree_features.ordered`).
fn ranked(py: Python, values: &Names, numbers: &Bound<PyDict>) -> PyResult<Vec<u32>> {
    let held = PyList::new(py, values)?;
    let ordered = call(py, "stream_retrain.models.tree_features", "ordered", held.as_any())?;
    ordered.try_iter()?.map(|value| numbers.get_item(value?)?.ok_or(Damaged)?.extract()).collect()
}

fn listed<'py>(py: Python<'py>, values: &Names) -> PyResult<Bound<'py, PyList>> {
    PyList::new(py, values)
}

/// A function of the arithmetic, for the test that it equals Python's.
#[pyfunction]
fn compute(function: &str, x: f64) -> PyResult<f64> {
    match function {
        "exp" => Ok(arithmetic::exp(x)),
        "log" => Ok(arithmetic::log(x)),
        "log2" => Ok(arithmetic::log2(x)),
        "tanh" => Ok(arithmetic::tanh(x)),
        "erf" => Ok(arithmetic::erf(x)),
        _ => Err(PyValueError::new_err(format!("no function {function:?}"))),
    }
}

/// The logarithm, where Python needs it at every event.
#[pyfunction]
fn log(x: f64) -> f64 {
    arithmetic::log(x)
}

/// What the generator of a seed draws below each limit, then 64 bits of it, and its state; for the test that it equals Python's.
#[pyfunction]
fn draw<'py>(py: Python<'py>, seed: u64, limits: Vec<usize>) -> PyResult<(Vec<usize>, u64, Bound<'py, PyTuple>)> {
    let (mut generator, mut to) = (Generator::new(seed), Writer::default());
    let drawn = limits.into_iter().map(|limit| generator.below(limit)).collect();
    let bits = generator.next();
    generator.write(&mut to);
    Ok((drawn, bits, Block::written(py, to)?))
}

/// Whole numbers of a Poisson distribution that the generator of a seed draws; for the test that they equal Python's.
#[pyfunction]
fn draw_poisson(seed: u64, mean: f64, count: usize) -> Vec<f64> {
    let (poisson, mut generator) = (Poisson::new(mean), Generator::new(seed));
    (0..count).map(|_| poisson.draw(&mut generator)).collect()
}

/// The models of stream_retrain, compiled; `stream_retrain.native` says whether they serve.
#[pymodule]
fn _native(module: &Bound<PyModule>) -> PyResult<()> {
    module.add("ARITHMETIC", arithmetic::VERSION)?;
    module.add("SOURCES", option_env!("STREAM_RETRAIN_SOURCES").unwrap_or_default())?;
    module.add_class::<tree::Tree>()?;
    module.add_class::<regression::TreeRegressor>()?;
    module.add_class::<forest::Forest>()?;
    module.add_class::<forest_regressor::ForestRegressor>()?;
    module.add_class::<additive::AdditiveClassifier>()?;
    module.add_class::<additive::AdditiveRegressor>()?;
    module.add_class::<detector::Hddma>()?;
    module.add_class::<detector::Adwin>()?;
    module.add_class::<restarting::RestartingClassifier>()?;
    module.add_class::<restarting::RestartingRegressor>()?;
    module.add_class::<mixture::ClassifierMixture>()?;
    module.add_class::<mixture_regressor::RegressorMixture>()?;
    module.add_class::<nearest::NearestClassifier>()?;
    module.add_class::<nearest::NearestRegressor>()?;
    module.add_function(wrap_pyfunction!(compute, module)?)?;
    module.add_function(wrap_pyfunction!(log, module)?)?;
    module.add_function(wrap_pyfunction!(draw_poisson, module)?)?;
    module.add_function(wrap_pyfunction!(draw, module)?)
}
