//! Draft, replaced by the real endpoint.
#![allow(missing_docs, dead_code, unused_variables, reason = "draft")]
use super::*;
#[derive(Clone)]
pub struct Models;
#[derive(Clone)]
pub struct Endpoint;
pub struct Place;
pub enum Admission {
    Now(Place),
    After(std::time::Duration),
}
pub struct Embeddings {
    pub space: String,
    pub vectors: Vec<Vec<f32>>,
    pub usage: TokenUsage,
}
impl Models {
    pub fn resolve(&self, name: Option<&str>) -> Result<Endpoint, ModelError> {
        unimplemented!()
    }
}
impl Endpoint {
    pub fn name(&self) -> &str {
        ""
    }
    pub fn provider(&self) -> &str {
        ""
    }
    pub fn window(&self) -> u64 {
        0
    }
    pub fn output_max(&self) -> u32 {
        0
    }
    pub fn price(&self, usage: &TokenUsage) -> Option<u64> {
        None
    }
    pub fn estimate_tokens(&self, request: &Request) -> u64 {
        0
    }
    pub fn demand(&self, request: &Request) -> Demand {
        Demand::default()
    }
    pub fn admit(&self, demand: Demand) -> Admission {
        unimplemented!()
    }
    pub async fn infer(
        &self,
        request: &Request,
        place: Place,
        sink: &mut (dyn FnMut(Delta<'_>) + Send),
    ) -> Result<Completion, ModelError> {
        unimplemented!()
    }
    pub async fn embed(&self, texts: &[String]) -> Result<Embeddings, ModelError> {
        unimplemented!()
    }
}
#[derive(Default)]
pub struct ModelOptions;
pub type Environment = std::sync::Arc<dyn Fn(&str) -> Option<secrecy::SecretString> + Send + Sync>;
impl Models {
    pub fn new(_o: ModelOptions, _e: Environment) -> Result<Self, ModelError> {
        Ok(Models)
    }
}
