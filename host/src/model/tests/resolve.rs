//! From names to endpoints, by the table and the environment.

use crate::model::{Environment, ModelError, ModelOptions, Models};
use secrecy::SecretString;
use std::sync::Arc;

fn models(variables: &[(&'static str, &'static str)], own: &str) -> Models {
    let variables = variables.to_vec();
    let environment: Environment = Arc::new(move |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| SecretString::from((*value).to_owned()))
    });
    let providers = own.parse().expect("TOML");
    let options = ModelOptions { providers, ..ModelOptions::default() };
    Models::new(options, environment).expect("a good table")
}

fn refusal(models: &Models, name: Option<&str>) -> ModelError {
    models.resolve(name).expect_err("refused")
}

#[test]
fn without_a_provider_the_error_says_which_variables_would_do() {
    let error = refusal(&models(&[], ""), None);
    let said = error.to_string();
    for word in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "OLLAMA_HOST", "VLLM_BASE_URL", "script:"] {
        assert!(said.contains(word), "{said}");
    }
    assert!(matches!(error, ModelError::Unauthorised { .. }));
    let empty = models(&[("ANTHROPIC_API_KEY", "  ")], "");
    assert!(refusal(&empty, None).to_string().contains("no provider"), "blank is unset");
}

#[test]
fn the_first_provider_whose_variable_is_set_is_taken() {
    let name = |variables: &[(&'static str, &'static str)]| {
        models(variables, "").resolve(None).expect("configured").name().to_owned()
    };
    assert_eq!(name(&[("OPENAI_API_KEY", "k")]), "openai/gpt-5.6-sol");
    let both = [("OPENAI_API_KEY", "k"), ("ANTHROPIC_API_KEY", "k")];
    assert_eq!(name(&both), "anthropic/claude-sonnet-5-5");
    assert_eq!(name(&[("OLLAMA_HOST", "127.0.0.1")]), "ollama/(first listed)");
    assert_eq!(models(&both, "").configured(), ["anthropic", "openai"]);
}

#[test]
fn a_provider_of_ones_own_comes_first_and_needs_no_variable() {
    let own = "
        [house]
        wire = 'chat'
        base_url = 'http://127.0.0.1:9/v1'
        default_model = 'small'
        any_model = true
        window_tokens = 9000
        output_tokens_max = 500
    ";
    let models = models(&[("ANTHROPIC_API_KEY", "k")], own);
    let endpoint = models.resolve(None).expect("configured");
    assert_eq!(
        (endpoint.name(), endpoint.window(), endpoint.output_max()),
        ("house/small", 9000, 500)
    );
}

#[test]
fn unknown_names_get_the_nearest_known_ones() {
    let models = models(&[("ANTHROPIC_API_KEY", "k"), ("OPENAI_API_KEY", "k")], "");
    for (name, near) in [
        ("anthropic/claude-sonet-5-5", "anthropic/claude-sonnet-5-5"),
        ("claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("antropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5"),
        ("openai/gpt-5.6-soul", "openai/gpt-5.6-sol"),
        ("openai/", "openai/NAME"),
        ("zzz", "PROVIDER/MODEL"),
        ("", "PROVIDER/MODEL"),
    ] {
        let error = refusal(&models, Some(name));
        assert!(matches!(error, ModelError::UnknownModel { .. }), "{error}");
        assert!(error.to_string().contains(near), "{name}: {error}");
    }
    let long = refusal(&models, Some(&"x\n".repeat(10_000))).to_string();
    assert!(long.len() < 1000 && !long.contains('\n'), "{}", long.len());
}

#[test]
fn a_missing_key_is_named_by_its_variable() {
    let error = refusal(&models(&[], ""), Some("groq/openai/gpt-oss-20b"));
    assert!(error.to_string().contains("set GROQ_API_KEY"), "{error}");
    let error = refusal(&models(&[("CLOUDFLARE_API_KEY", "k")], ""), Some("cloudflare"));
    assert!(error.to_string().contains("set CLOUDFLARE_ACCOUNT_ID"), "{error}");
    let evil = [("CLOUDFLARE_API_KEY", "k"), ("CLOUDFLARE_ACCOUNT_ID", "../../evil?x=")];
    assert!(models(&evil, "").resolve(Some("cloudflare")).is_err());
    assert!(models(&[], "").resolve(Some("vllm/any/thing")).is_ok(), "its key is optional");
}

#[test]
fn a_key_goes_to_no_other_machine_without_tls() {
    let at = |url: &'static str, own: &str| {
        let models = models(&[("OPENAI_API_KEY", "k"), ("OPENAI_BASE_URL", url)], own);
        models.resolve(Some("openai/gpt-5-mini"))
    };
    assert!(at("http://models.example.com/v1", "").is_err());
    assert!(at("http://10.1.2.3:8000/v1", "").is_err());
    assert!(at("http://10.1.2.3:8000/v1", "[openai]\nplain_http = true").is_ok());
    for fine in ["https://models.example.com/v1", "http://127.0.0.1:8000", "http://localhost:1/v1"]
    {
        assert!(at(fine, "").is_ok(), "{fine}");
    }
    let secret = "https://user:s3cr3t-s3cr3t@models.example.com/v1";
    for bad in [secret, "https://x.example/v1?key=s3cr3t-s3cr3t", "ftp://x.example", "http://"] {
        let error = at(bad, "").expect_err(bad);
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
        assert!(error.to_string().contains("OPENAI_BASE_URL"), "{error}");
    }
    assert!(
        models(&[("OLLAMA_HOST", "gpu.house:11434")], "").resolve(Some("ollama/x")).is_ok(),
        "without a key there is nothing to leak"
    );
}

#[test]
fn a_wrong_table_is_one_sentence() {
    let options = ModelOptions {
        providers: "[house]\nwire = 'soap'".parse().expect("TOML"),
        ..ModelOptions::default()
    };
    let error = Models::new(options, Arc::new(|_| None)).expect_err("wrong");
    assert!(error.to_string().contains("models.providers.house"), "{error}");
}
