//! `QuickTree`'s core: `stream_retrain/models/plain_tree.py` has the same one in Python.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use super::answers::Answers;
use super::domain::Known;
use super::member::ClassifierMember;
use super::step::{classify, Classifies, Wanted};
use super::values::{values, Value};
use super::{Block, Names};
use crate::block::Writer;
use crate::tree::{self, Params, LEAF_EVENTS_MAX};

type State<'py> = (Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyList>, Bound<'py, PyAny>);

/// Refuse a weight that no event can have.
pub fn check_weight(w: f64) -> PyResult<()> {
    if w.is_nan() || w <= 0.0 {
        return Err(PyValueError::new_err(format!("the weight of an event is {w:?}; use one above 0")));
    }
    Ok(())
}

#[pyclass(module = "stream_retrain._native")]
pub struct Tree {
    tree: tree::Tree,
    known: Known,
    made: Made,
}

/// What a tree was made with.
#[derive(Clone, Copy)]
pub struct Made {
    pub grace_period: f64,
    pub delta: f64,
    pub tau: f64,
    pub max_depth: Option<u32>,
    pub categories_max: usize,
}

impl Made {
    pub fn params(&self) -> Params {
        Params { grace_period: self.grace_period, delta: self.delta, tau: self.tau, depth_max: self.max_depth, leaf_weight_max: LEAF_EVENTS_MAX }
    }
}

impl Tree {
    fn of(py: Python, made: Made) -> Tree {
        Tree { tree: tree::Tree::new(&made.params()), known: Known::new(py, made.categories_max), made }
    }

    /// The probability of every class, by its number.
    pub fn predict_values(&mut self, values: &[Value], proba: &mut Vec<f64>) -> PyResult<()> {
        self.known.fill(values)?;
        self.tree.predict(&self.known.domain, &self.known.rows.row, proba);
        Ok(())
    }

    pub fn learn_values(&mut self, values: &[Value], y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        let class = self.known.learn(values, y)?;
        for &feature in &self.known.rows.withheld {
            self.tree.withhold(feature);
        }
        self.tree.learn(&self.known.domain, &self.known.rows.row, class, w, None);
        Ok(())
    }
}

impl Classifies for Tree {
    fn predict_next(&mut self, py: Python, values: &[Value], to: &mut Answers) -> PyResult<()> {
        self.predict_values(values, &mut to.scratch)?;
        to.extend(py, &self.known.labels.0.names, self.known.order());
        Ok(())
    }

    fn learn_next(&mut self, _: Python, values: &[Value], y: &Bound<PyAny>) -> PyResult<()> {
        self.learn_values(values, y, 1.0)
    }
}

impl ClassifierMember for Tree {
    fn untrained(&self, py: Python) -> PyResult<Tree> {
        Ok(Tree::of(py, self.made))
    }
}

#[pymethods]
impl Tree {
    #[new]
    fn new(py: Python, grace_period: f64, delta: f64, tau: f64, max_depth: Option<u32>, categories_max: usize) -> Tree {
        Tree::of(py, Made { grace_period, delta, tau, max_depth, categories_max })
    }

    fn predict<'py>(&mut self, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
        let mut proba = vec![];
        self.predict_values(&values(x)?, &mut proba)?;
        self.known.labels.proba(x.py(), self.known.domain.ranked.iter().copied(), &proba)
    }

    fn learn(&mut self, x: &Bound<PyAny>, y: &Bound<PyAny>, w: f64) -> PyResult<()> {
        check_weight(w)?;
        self.learn_values(&values(x)?, y, w)
    }

    fn step<'py>(&mut self, xs: &Bound<'py, PyList>, ys: &Bound<'py, PyList>, wanted: Wanted<'py>) -> PyResult<Bound<'py, PyTuple>> {
        classify(self, xs, ys, &wanted)
    }

    fn shape(&self) -> (usize, usize, usize) {
        self.tree.shape()
    }

    fn withheld(&self, py: Python) -> Names {
        self.known.withheld(py)
    }

    fn state<'py>(&self, py: Python<'py>) -> PyResult<State<'py>> {
        let mut to = Writer::default();
        self.known.domain.write(&mut to);
        self.tree.write(&mut to);
        let (names, categories, labels) = self.known.named(py)?;
        Ok((names, categories, labels, Block::written(py, to)?.into_any()))
    }

    fn restore(&mut self, py: Python, state: State) -> PyResult<()> {
        let (names, categories, labels, block) = state;
        *self = Tree::of(py, self.made);
        let counts = self.known.restore((names, categories, labels))?;
        let block = Block::of(&block)?;
        let mut reader = block.reader()?;
        self.known.read(&mut reader)?;
        self.tree.read(&mut reader, &self.known.domain, &counts, false)?;
        reader.end()?;
        self.known.settle(py)
    }
}
