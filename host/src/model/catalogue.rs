//! The table of providers: what is known of each before anything is asked of it.
//!
//! Knows the file's shape, names and prices; knows nothing of keys' values or connections.

use super::completion::TokenUsage;
use serde::Deserialize;
use std::collections::BTreeMap;

const BUILT_IN: &str = include_str!("providers.toml");

/// A table is not as it should be: one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CatalogueError(pub String);

/// Which format a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wire {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    Chat,
}

/// One provider, as the table has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRow {
    /// Its format.
    pub wire: Wire,
    /// What paths are appended to; `{NAME}` stands for an environment variable.
    pub base_url: String,
    /// The environment variable that replaces `base_url`.
    pub base_url_variable: Option<String>,
    /// The environment variable that holds the key; none sends no key.
    pub key_variable: Option<String>,
    /// Whether it may be used without a key.
    #[serde(default)]
    pub key_optional: bool,
    /// Whether a key may go to another machine without TLS.
    #[serde(default)]
    pub plain_http: bool,
    /// What the provider's name alone means; none: the first model that the server lists.
    pub default_model: Option<String>,
    /// Whether models that are not listed may be asked for.
    #[serde(default)]
    pub any_model: bool,
    /// Whether calls cost nothing.
    #[serde(default)]
    pub free: bool,
    /// The window of models that are not listed: prompt and reply together.
    pub window_tokens: u64,
    /// The longest reply of models that are not listed.
    pub output_tokens_max: u32,
    /// How its dialect differs.
    #[serde(default)]
    quirks: toml::Table,
    #[serde(default)]
    models: BTreeMap<String, ModelRow>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRow {
    window_tokens: Option<u64>,
    output_tokens_max: Option<u32>,
    #[serde(default)]
    prices: Vec<Price>,
    #[serde(default)]
    quirks: toml::Table,
}

/// Where a provider's dialect, or a model's abilities, differ from the format's plain form.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quirks {
    /// The role of the system prompt: `system`, or OpenAI's `developer`.
    pub system_role: String,
    /// `max_tokens` or `max_completion_tokens`.
    pub max_tokens_field: String,
    /// Whether `stream_options.include_usage` is taken.
    pub stream_usage: bool,
    /// Whether `temperature` is taken; it is left out elsewhere.
    pub sampling: bool,
    /// Whether `parallel_tool_calls` is taken; it is left out elsewhere.
    pub parallel_tool_calls: bool,
    /// Whether a tool can be forced; to ask for it elsewhere is an error.
    pub forced_tools: bool,
    /// How a schema for the reply is said.
    pub schema: SchemaStyle,
    /// How the reasoning budget is said.
    pub thinking: ThinkingStyle,
    /// The lowest effort, for a budget of 0: `none`, `minimal` or `low`.
    pub effort_off: String,
    /// Whether reasoning goes back with the messages it came in (chat format).
    pub reasoning_back: bool,
    /// Whether cache breakpoints are said (chat format; Anthropic's always has them).
    pub cache_control: bool,
    /// The shortest prefix that is cached at a breakpoint, in tokens.
    pub cache_tokens_min: u64,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            system_role: "system".to_owned(),
            max_tokens_field: "max_tokens".to_owned(),
            stream_usage: true,
            sampling: true,
            parallel_tool_calls: true,
            forced_tools: true,
            schema: SchemaStyle::JsonSchema,
            thinking: ThinkingStyle::Unsaid,
            effort_off: "low".to_owned(),
            reasoning_back: false,
            cache_control: false,
            cache_tokens_min: 1_024,
        }
    }
}

/// How a schema for the reply is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaStyle {
    /// The provider takes the schema and holds the model to it.
    JsonSchema,
    /// The provider promises JSON only: the schema goes into the system prompt.
    JsonObject,
}

/// How the reasoning budget is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThinkingStyle {
    /// Not at all: the budget is left out.
    Unsaid,
    /// A number of tokens: Anthropic's `thinking.budget_tokens`, Qwen's `thinking_budget`.
    Budget,
    /// Anthropic's `thinking: adaptive` with an effort; can be switched off.
    Adaptive,
    /// Anthropic's effort alone; thinking cannot be switched off.
    Always,
    /// `reasoning_effort`.
    Effort,
    /// OpenRouter's `reasoning.max_tokens`.
    Tokens,
    /// `thinking.type`, on or off (DeepSeek, Kimi).
    Toggle,
}

/// Prices in US dollars per million tokens, so in millionths of a dollar per token.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Price {
    #[serde(default)]
    above_prompt_tokens: u64,
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
}

const FREE: Price =
    Price { above_prompt_tokens: 0, input: 0.0, output: 0.0, cache_read: None, cache_write: None };

/// What is known of one model of one provider.
#[derive(Clone, Debug)]
pub struct ModelFacts {
    /// Prompt and reply together, in tokens.
    pub window_tokens: u64,
    /// The longest reply, in tokens.
    pub output_tokens_max: u32,
    /// The dialect.
    pub quirks: Quirks,
    prices: Vec<Price>,
}

impl ModelFacts {
    /// What is known of a script: it costs nothing.
    pub(super) fn scripted(window_tokens: u64, output_tokens_max: u32, quirks: Quirks) -> Self {
        Self { window_tokens, output_tokens_max, quirks, prices: vec![FREE] }
    }

    /// What a call cost, in millionths of a US dollar, rounded up; none without a price.
    pub fn price(&self, usage: &TokenUsage) -> Option<u64> {
        let prompt = usage.prompt();
        let price = self
            .prices
            .iter()
            .rfind(|price| price.above_prompt_tokens == 0 || price.above_prompt_tokens < prompt)?;
        #[expect(clippy::cast_precision_loss, reason = "no call has 2^53 tokens")]
        let cost = |tokens: u64, each: f64| tokens as f64 * each;
        let sum = cost(usage.input, price.input)
            + cost(usage.output, price.output)
            + cost(usage.cache_read, price.cache_read.unwrap_or(price.input))
            + cost(usage.cache_write, price.cache_write.unwrap_or(price.input));
        // Off by less than a millionth: 0.1 + 0.2 must not round up to the next one.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "prices are checked to be positive; the cast saturates"
        )]
        Some((sum - 1e-6).ceil().max(0.0) as u64)
    }
}

/// All providers.
#[derive(Clone, Debug)]
pub struct Catalogue {
    order: Vec<String>,
    rows: BTreeMap<String, ProviderRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    order: Vec<String>,
    provider: BTreeMap<String, ProviderRow>,
}

impl Catalogue {
    /// The built-in table under the operator's own (`models.providers`), merged key by key.
    /// Providers that only the operator has come first when none is named.
    pub fn with(own: &toml::Table) -> Result<Self, CatalogueError> {
        let mut table: toml::Table =
            BUILT_IN.parse().expect("invariant: the built-in table is TOML");
        let built_in = table["provider"].as_table_mut().expect("invariant: it has providers");
        for (name, row) in own {
            if name.is_empty() || name.contains('/') || name == "script" {
                return Err(CatalogueError(format!(
                    "`{name}` cannot be a provider's name: it is empty, has a `/`, or is `script`"
                )));
            }
            let whole: ProviderRow = {
                merge(built_in.entry(name).or_insert(toml::Value::Table(Default::default())), row);
                let merged = built_in[name].clone();
                merged.try_into().map_err(|error: toml::de::Error| {
                    CatalogueError(format!("models.providers.{name}: {}", error.message()))
                })?
            };
            check(name, &whole)?;
        }
        let mut file: File = table
            .try_into()
            .map_err(|error: toml::de::Error| CatalogueError(error.message().to_owned()))?;
        let fresh = own.keys().filter(|name| !file.order.contains(name));
        file.order = fresh.cloned().chain(file.order.iter().cloned()).collect();
        Ok(Self { order: file.order, rows: file.provider })
    }

    /// The providers' names, in the order in which they are asked when none is named.
    pub fn names(&self) -> &[String] {
        &self.order
    }

    /// A provider's row.
    pub fn provider(&self, name: &str) -> Option<&ProviderRow> {
        self.rows.get(name)
    }

    /// Up to three `provider/model` names that look most like this one.
    pub fn nearest(&self, wanted: &str) -> Vec<String> {
        let names = self.order.iter().filter_map(|name| Some((name, self.rows.get(name)?)));
        let all = names
            .flat_map(|(name, row)| row.models.keys().map(move |model| format!("{name}/{model}")));
        let likeness = |full: &String| {
            let model = full.split_once('/').map_or(full.as_str(), |(_, model)| model);
            strsim::jaro_winkler(full, wanted).max(strsim::jaro_winkler(model, wanted))
        };
        let mut all: Vec<(f64, String)> = all.map(|full| (likeness(&full), full)).collect();
        all.retain(|(likeness, _)| *likeness > 0.7);
        all.sort_by(|one, other| other.0.total_cmp(&one.0));
        all.into_iter().take(3).map(|(_, name)| name).collect()
    }
}

impl ProviderRow {
    /// What is known of a model; none where the provider does not have it. A dated name, as
    /// `claude-haiku-4-5-20251001`, is the model it is a version of.
    pub fn facts(&self, model: &str) -> Option<ModelFacts> {
        let row = self.models.get(model).or_else(|| {
            let dated = self.models.iter().filter(|(name, _)| is_version_of(model, name));
            dated.max_by_key(|(name, _)| name.len()).map(|(_, row)| row)
        });
        if row.is_none() && !self.any_model {
            return None;
        }
        let own = row.map(|row| row.quirks.clone()).unwrap_or_default();
        let mut prices = row.map(|row| row.prices.clone()).unwrap_or_default();
        if prices.is_empty() && self.free {
            prices.push(FREE);
        }
        Some(ModelFacts {
            window_tokens: row.and_then(|r| r.window_tokens).unwrap_or(self.window_tokens),
            output_tokens_max: row
                .and_then(|row| row.output_tokens_max)
                .unwrap_or(self.output_tokens_max),
            quirks: quirks(&self.quirks, &own).expect("invariant: checked when it was read"),
            prices,
        })
    }
}

/// Whether a name is another one with a date or `latest` after it.
fn is_version_of(model: &str, name: &str) -> bool {
    let version = model.strip_prefix(name).and_then(|rest| rest.strip_prefix(['-', '@']));
    version.is_some_and(|version| {
        version == "latest"
            || (version.len() >= 8 && version.chars().all(|c| c.is_ascii_digit() || c == '-'))
    })
}

fn quirks(of_provider: &toml::Table, of_model: &toml::Table) -> Result<Quirks, CatalogueError> {
    let mut both = of_provider.clone();
    both.extend(of_model.clone());
    both.try_into().map_err(|error: toml::de::Error| CatalogueError(error.message().to_owned()))
}

fn check(name: &str, row: &ProviderRow) -> Result<(), CatalogueError> {
    let fail = |reason: String| Err(CatalogueError(format!("models.providers.{name}: {reason}")));
    let models = row.models.values().map(|model| &model.quirks);
    for own in models.chain([&toml::Table::new()]) {
        if let Err(error) = quirks(&row.quirks, own) {
            return fail(error.0);
        }
    }
    let prices = row.models.values().flat_map(|model| &model.prices);
    let numbers = prices.flat_map(|price| {
        [Some(price.input), Some(price.output), price.cache_read, price.cache_write]
    });
    if numbers.flatten().any(|price| !price.is_finite() || price < 0.0) {
        return fail("a price is not a number of at least 0".to_owned());
    }
    if row.window_tokens == 0 || row.output_tokens_max == 0 {
        return fail("window_tokens and output_tokens_max are at least 1".to_owned());
    }
    Ok(())
}

/// Puts `over` on `under`: tables key by key, all else whole.
fn merge(under: &mut toml::Value, over: &toml::Value) {
    match (under, over) {
        (toml::Value::Table(under), toml::Value::Table(over)) => {
            for (key, value) in over {
                match under.get_mut(key) {
                    Some(place) => merge(place, value),
                    None => {
                        under.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (under, over) => *under = over.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Catalogue {
        Catalogue::with(&toml::Table::new()).expect("the built-in table")
    }

    #[test]
    fn the_built_in_table_holds_together() {
        let catalogue = built_in();
        assert_eq!(catalogue.order.len(), catalogue.rows.len());
        for name in catalogue.names() {
            let row = catalogue.provider(name).expect("a name in the order has a row");
            check(name, row).expect("well formed");
            if let Some(model) = &row.default_model {
                let facts = row.facts(model).expect("the default model is known");
                assert!(u64::from(facts.output_tokens_max) <= facts.window_tokens, "{name}");
            }
            for (model, row) in &row.models {
                let free_or_priced = !row.prices.is_empty() || model == "zai-glm-4.7";
                assert!(free_or_priced, "{name}/{model} has no price");
            }
        }
    }

    #[test]
    fn a_dated_name_is_its_model_and_another_name_is_none() {
        let catalogue = built_in();
        let row = catalogue.provider("anthropic").expect("there");
        assert!(row.facts("claude-haiku-4-5-20251001").is_some());
        assert!(row.facts("claude-haiku-4-5-latest").is_some());
        assert!(row.facts("claude-haiku-4-5-turbo").is_none());
        assert!(row.facts("gpt-5").is_none());
        assert!(catalogue.provider("ollama").expect("there").facts("anything:7b").is_some());
    }

    #[test]
    fn the_longest_dated_name_wins() {
        let row = built_in().provider("anthropic").expect("there").clone();
        let facts = row.facts("claude-opus-5-5-20260922").expect("known");
        assert_eq!(facts.quirks.thinking, ThinkingStyle::Always);
    }

    #[test]
    fn prices_go_by_class_and_by_the_length_of_the_prompt() {
        let row = built_in().provider("openai").expect("there").clone();
        let facts = row.facts("gpt-5.6-sol").expect("known");
        let usage = |input, cache_read| TokenUsage {
            input,
            cache_read,
            output: 1000,
            ..TokenUsage::default()
        };
        assert_eq!(facts.price(&usage(1000, 10_000)), Some(2000 + 2000 + 10_000));
        assert_eq!(facts.price(&usage(272_001, 0)), Some(272_001 * 4 + 15_000));
        assert_eq!(facts.price(&TokenUsage::default()), Some(0));
        let local = built_in().provider("ollama").expect("there").facts("x").expect("any");
        assert_eq!(local.price(&usage(5, 5)), Some(0));
        let unknown = built_in().provider("openrouter").expect("there").facts("a/b").expect("any");
        assert_eq!(unknown.price(&usage(5, 5)), None);
    }

    #[test]
    fn the_operators_table_goes_over_the_built_in_one() {
        let own: toml::Table = "
            [house]
            wire = 'chat'
            base_url = 'https://models.house.example/v1'
            any_model = true
            window_tokens = 8000
            output_tokens_max = 1000
            [anthropic.models.claude-next]
            prices = [{ input = 1, output = 2 }]
        "
        .parse()
        .expect("TOML");
        let catalogue = Catalogue::with(&own).expect("fine");
        assert_eq!(catalogue.names()[0], "house");
        let anthropic = catalogue.provider("anthropic").expect("there");
        assert!(anthropic.facts("claude-next").is_some());
        assert!(anthropic.facts("claude-haiku-4-5").is_some());
    }

    #[test]
    fn a_wrong_table_is_one_sentence_that_names_the_place() {
        for (text, words) in [
            ("[house]\nwire = 'chat'", "models.providers.house: missing field"),
            ("[openai]\nwires = 'chat'", "models.providers.openai: unknown field `wires`"),
            ("[openai.quirks]\nthinking = 'deep'", "models.providers.openai: unknown variant"),
            ("[openai.models.x]\nprices = [{ input = -1, output = 2 }]", "a price"),
            ("[script]\nwire = 'chat'", "`script` cannot be"),
        ] {
            let error = Catalogue::with(&text.parse().expect("TOML")).expect_err(text);
            assert!(error.0.contains(words), "{error}");
            assert!(!error.0.trim().contains('\n'), "{error}");
        }
    }

    #[test]
    fn near_names_are_named() {
        let near = built_in().nearest("claude-sonet-5-5");
        assert_eq!(near[0], "anthropic/claude-sonnet-5-5");
        assert!(built_in().nearest("zzzzzz").is_empty());
    }
}
