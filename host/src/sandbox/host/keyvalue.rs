//! `wasi:keyvalue` 0.2.0-draft: buckets that last, each plugin's its own.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, Resource};

use self::bindings::wasi::keyvalue::store::{self, Error, KeyResponse};
use self::bindings::wasi::keyvalue::{atomics, batch};
use crate::capability::gate::{Gate, Refusal};
use crate::capability::keyvalue::{BucketRequest, KeyOperation};
use crate::capability::names::NameRequest;
use crate::sandbox::state::State;
use crate::storage::{self, Storage, StorageError, apart};

mod bindings {
    // The interface is that of github.com/WebAssembly/wasi-keyvalue at 0.2.0-draft, reduced to its
    // signatures.
    wasmtime::component::bindgen!({
        inline: r#"
            package wasi:keyvalue@0.2.0-draft;
            interface store {
                variant error { no-such-store, access-denied, other(string) }
                record key-response { keys: list<string>, cursor: option<u64> }
                open: func(identifier: string) -> result<bucket, error>;
                resource bucket {
                    get: func(key: string) -> result<option<list<u8>>, error>;
                    set: func(key: string, value: list<u8>) -> result<_, error>;
                    delete: func(key: string) -> result<_, error>;
                    exists: func(key: string) -> result<bool, error>;
                    list-keys: func(cursor: option<u64>) -> result<key-response, error>;
                }
            }
            interface atomics {
                use store.{bucket, error};
                increment: func(bucket: borrow<bucket>, key: string, delta: u64)
                    -> result<u64, error>;
            }
            interface batch {
                use store.{bucket, error};
                get-many: func(bucket: borrow<bucket>, keys: list<string>)
                    -> result<list<option<tuple<string, list<u8>>>>, error>;
                set-many: func(bucket: borrow<bucket>, key-values: list<tuple<string, list<u8>>>)
                    -> result<_, error>;
                delete-many: func(bucket: borrow<bucket>, keys: list<string>) -> result<_, error>;
            }
            world imports { import store; import atomics; import batch; }
        "#,
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::OpenBucket },
    });
}

/// A bucket that the gate let through.
#[derive(Debug)]
pub struct OpenBucket {
    name: String,
    /// Where earlier pages of its keys ended; a guest's cursor is an index here.
    pages: Vec<String>,
}

/// Pages of keys one bucket handle may walk.
const PAGES_MAX: usize = 100_000;
/// Pairs in one batch.
const BATCH_MAX: usize = 10_000;
/// Bytes of values in one answer.
const BATCH_BYTES_MAX: usize = 32 << 20;

/// The key-value store as one call sees it.
pub struct Buckets {
    gate: Arc<Gate>,
    storage: Arc<dyn Storage>,
    /// Whose buckets these are: no plugin reaches another's.
    identity: Arc<str>,
}

impl Buckets {
    /// The buckets of the plugin that is `identity`.
    pub fn new(gate: Arc<Gate>, storage: Arc<dyn Storage>, identity: Arc<str>) -> Self {
        Self { gate, storage, identity }
    }
}

/// The linker's name for the state.
struct KeyValueState;

impl HasData for KeyValueState {
    type Data<'a> = &'a mut State;
}

/// Adds the three interfaces.
///
/// # Errors
/// When the linker holds them already.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, KeyValueState>(linker, |state| state)?;
    atomics::add_to_linker::<_, KeyValueState>(linker, |state| state)?;
    batch::add_to_linker::<_, KeyValueState>(linker, |state| state)
}

/// What a guest may know: its own mistakes, and not where the host keeps its files.
fn failed(error: StorageError) -> Error {
    Error::Other(match error {
        StorageError::TooLarge { .. }
        | StorageError::Quota { .. }
        | StorageError::NotANumber { .. } => error.to_string(),
        StorageError::Url { .. }
        | StorageError::Unreachable { .. }
        | StorageError::Corrupt { .. }
        | StorageError::Newer { .. }
        | StorageError::Full { .. }
        | StorageError::Busy { .. }
        | StorageError::Failed { .. } => {
            tracing::warn!("a plugin's bucket failed: {error}");
            "the store failed".to_owned()
        }
    })
}

/// What the gate and the storage said, in the interface's words. What was not recorded, or would
/// have been too much to record, ends the call.
fn answered<T>(done: Result<T, Refusal<StorageError>>) -> wasmtime::Result<Result<T, Error>> {
    match done {
        Ok(value) => Ok(Ok(value)),
        Err(Refusal::Denied(_)) => Ok(Err(Error::AccessDenied)),
        Err(Refusal::Limit(limit)) => Err(limit.into()),
        Err(Refusal::Journal(error)) => Err(wasmtime::Error::new(error)),
        Err(Refusal::Effect(error)) => Ok(Err(failed(error))),
    }
}

/// Does one thing to a key of an open bucket behind the gate: `METHOD(ARGUMENTS)` of the storage,
/// with its own copies of what `[OWN]` names. In a task of its own: a guest that has to wait for
/// its turn must not hold the store meanwhile.
macro_rules! on_key {
    (
        $state:ident, $handle:expr, $key:expr, $operation:expr,
        [$($own:ident),*] $method:ident($($given:expr),*)
    ) => {{
        let name = $state.table.get(&$handle)?.name.clone();
        let Buckets { gate, storage, identity } = &$state.buckets;
        let request = BucketRequest { bucket: &name, key: $key, operation: $operation };
        let done = gate.perform(request, |permit| {
            permit.spend();
            let (storage, identity) = (Arc::clone(storage), Arc::clone(identity));
            let name = name.clone();
            $(let $own = $own.clone();)*
            apart(async move {
                let bucket = storage::Bucket { identity: &identity, name: &name };
                storage.$method(bucket, $($given),*).await
            })
        });
        answered(done.await)
    }};
}

impl store::Host for State {
    async fn open(
        &mut self,
        identifier: String,
    ) -> wasmtime::Result<Result<Resource<OpenBucket>, Error>> {
        let gate = Arc::clone(&self.buckets.gate);
        let opened = gate.perform(NameRequest::bucket(&identifier), |permit| async {
            let bucket = OpenBucket { name: permit.spend().to_owned(), pages: Vec::new() };
            self.table.push(bucket)
        });
        match opened.await {
            Ok(bucket) => Ok(Ok(bucket)),
            Err(Refusal::Denied(_)) => Ok(Err(Error::AccessDenied)),
            Err(Refusal::Limit(limit)) => Err(limit.into()),
            Err(Refusal::Journal(error)) => Err(wasmtime::Error::new(error)),
            Err(Refusal::Effect(error)) => Err(error.into()),
        }
    }
}

impl store::HostBucket for State {
    async fn get(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        on_key!(self, bucket, &key, KeyOperation::Get, [key] kv_get(&key))
    }

    async fn set(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), Error>> {
        let operation = KeyOperation::Set { bytes: value.len() as u64 };
        on_key!(self, bucket, &key, operation, [key, value] kv_set(&key, &value))
    }

    async fn delete(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
    ) -> wasmtime::Result<Result<(), Error>> {
        on_key!(self, bucket, &key, KeyOperation::Delete, [key] kv_delete(&key))
    }

    async fn exists(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
    ) -> wasmtime::Result<Result<bool, Error>> {
        on_key!(self, bucket, &key, KeyOperation::Exists, [key] kv_exists(&key))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<OpenBucket>,
        cursor: Option<u64>,
    ) -> wasmtime::Result<Result<KeyResponse, Error>> {
        let pages = &self.table.get(&bucket)?.pages;
        let after = match cursor {
            None => None,
            Some(cursor) => match usize::try_from(cursor).ok().and_then(|page| pages.get(page)) {
                Some(after) => Some(after.clone()),
                None => return Ok(Err(Error::Other(format!("no cursor {cursor}")))),
            },
        };
        let listed =
            on_key!(self, bucket, "", KeyOperation::List, [after] kv_keys(after.as_deref()));
        let page = match listed? {
            Ok(page) => page,
            Err(error) => return Ok(Err(error)),
        };
        let pages = &mut self.table.get_mut(&bucket)?.pages;
        let cursor = match page.next {
            None => None,
            Some(_) if pages.len() >= PAGES_MAX => {
                return Ok(Err(Error::Other(format!("more than {PAGES_MAX} pages of keys"))));
            }
            Some(next) => {
                pages.push(next);
                Some(pages.len() as u64 - 1)
            }
        };
        Ok(Ok(KeyResponse { keys: page.keys, cursor }))
    }

    async fn drop(&mut self, bucket: Resource<OpenBucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<OpenBucket>,
        key: String,
        delta: u64,
    ) -> wasmtime::Result<Result<u64, Error>> {
        let Ok(delta) = i64::try_from(delta) else {
            return Ok(Err(Error::Other("the delta is beyond 63 bits".into())));
        };
        let operation = KeyOperation::Increment { delta };
        let sum = on_key!(self, bucket, &key, operation, [key] kv_increment(&key, delta))?;
        Ok(sum.and_then(|sum| {
            u64::try_from(sum).map_err(|_| Error::Other(format!("`{key}` is below zero")))
        }))
    }
}

fn check_batch(pairs: usize) -> Result<(), Error> {
    if pairs > BATCH_MAX {
        return Err(Error::Other(format!("{pairs} keys at once; at most {BATCH_MAX}")));
    }
    Ok(())
}

impl batch::Host for State {
    async fn get_many(
        &mut self,
        bucket: Resource<OpenBucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<Vec<Option<(String, Vec<u8>)>>, Error>> {
        if let Err(error) = check_batch(keys.len()) {
            return Ok(Err(error));
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        for key in keys {
            let got = on_key!(self, bucket, &key, KeyOperation::Get, [key] kv_get(&key))?;
            let value = match got {
                Ok(value) => value,
                Err(error) => return Ok(Err(error)),
            };
            bytes += value.as_ref().map_or(0, Vec::len);
            if bytes > BATCH_BYTES_MAX {
                return Ok(Err(Error::Other(format!("more than {BATCH_BYTES_MAX} bytes at once"))));
            }
            found.push(value.map(|value| (key, value)));
        }
        Ok(Ok(found))
    }

    async fn set_many(
        &mut self,
        bucket: Resource<OpenBucket>,
        pairs: Vec<(String, Vec<u8>)>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if let Err(error) = check_batch(pairs.len()) {
            return Ok(Err(error));
        }
        for (key, value) in pairs {
            let operation = KeyOperation::Set { bytes: value.len() as u64 };
            if let Err(error) =
                on_key!(self, bucket, &key, operation, [key, value] kv_set(&key, &value))?
            {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    async fn delete_many(
        &mut self,
        bucket: Resource<OpenBucket>,
        keys: Vec<String>,
    ) -> wasmtime::Result<Result<(), Error>> {
        if let Err(error) = check_batch(keys.len()) {
            return Ok(Err(error));
        }
        for key in keys {
            let operation = KeyOperation::Delete;
            if let Err(error) = on_key!(self, bucket, &key, operation, [key] kv_delete(&key))? {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}
