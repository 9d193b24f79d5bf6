//! Container tools as a program: there is nothing to compile, and the sandbox never runs them.

use std::sync::Arc;

use super::{BadPlugin, Kind, Program};
use crate::container::manifest::Native;
use crate::sandbox::manifest::Manifest;

impl Program {
    /// The program of a tool file.
    ///
    /// # Errors
    /// [`BadPlugin::Manifest`] says what is wrong with the file.
    pub fn native(bytes: &[u8]) -> Result<Self, BadPlugin> {
        let wrong = |error: String| BadPlugin::Manifest(format!("it is no tool file: {error}"));
        let native = Native::parse(bytes).map_err(wrong)?;
        let manifest = Manifest::of_native(&native.file);
        manifest.asks().map_err(BadPlugin::Manifest)?;
        Ok(Self {
            name: native.file.name.clone(),
            hash: native.hash,
            identity: native.hash.to_string().into(),
            manifest: Some(manifest),
            kind: Kind::Native(Arc::new(native)),
            definitions: None,
            pre: None,
        })
    }
}
