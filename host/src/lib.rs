//! An operating system for AI agents, as a library.
//!
//! # Layers, top to bottom: a module names only modules below it
//! `cli` → `config` → `kernel` → `sandbox` → `capability` → `journal` → `storage` → `types`

pub mod capability;
pub mod cli;
pub mod config;
pub mod journal;
pub mod kernel;
pub mod sandbox;
pub mod storage;
pub mod types;
