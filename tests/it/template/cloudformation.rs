//! `template.yaml` as CloudFormation reads it: conditions and functions are evaluated for given parameters.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};

/// The name of the stack and so of its function: that of the function in these tests.
pub(super) const STACK: &str = "callgate-test";

/// The template with a value for each parameter.
pub(super) struct Template {
    document: Value,
    parameters: BTreeMap<String, String>,
}

impl Template {
    /// These parameters, and the defaults of all others.
    pub(super) fn with(given: &[(&str, &str)]) -> Self {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/template.yaml")).unwrap();
        let document = to_json(&Yaml::load_from_str(&text).unwrap()[0]);
        let mut parameters: BTreeMap<String, String> = document["Parameters"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, it)| (name.clone(), text_of(&it["Default"])))
            .collect();
        for (name, value) in given {
            let known = parameters.insert((*name).to_owned(), (*value).to_owned());
            assert!(known.is_some(), "the template has no parameter `{name}`");
        }
        Self { document, parameters }
    }

    /// A section of the template, as written.
    pub(super) fn section(&self, name: &str) -> &Map<String, Value> {
        self.document[name].as_object().unwrap()
    }

    /// The properties of every resource of this type that is created with these parameters.
    pub(super) fn resources(&self, kind: &str) -> Vec<Value> {
        self.created(kind).into_values().collect()
    }

    /// The same, by the names of the resources, which are also what `!Ref` makes of them.
    pub(super) fn created(&self, kind: &str) -> BTreeMap<String, Value> {
        self.section("Resources")
            .iter()
            .filter(|(_, it)| it["Type"] == kind && it.get("Condition").is_none_or(|name| self.condition(name)))
            .map(|(name, it)| (name.clone(), self.evaluate(&it["Properties"])))
            .collect()
    }

    /// The metadata of a resource.
    pub(super) fn metadata(&self, resource: &str) -> Value {
        self.evaluate(&self.section("Resources")[resource]["Metadata"])
    }

    /// The values of the outputs, by their names.
    pub(super) fn outputs(&self) -> BTreeMap<String, Value> {
        self.section("Outputs").iter().map(|(name, it)| (name.clone(), self.evaluate(&it["Value"]))).collect()
    }

    /// The messages of the `Rules` that these parameters break.
    pub(super) fn broken_rules(&self) -> Vec<String> {
        let applies = |rule: &&Value| rule.get("RuleCondition").is_none_or(|it| self.evaluate(it) == true);
        let assertions = |rule: &Value| rule["Assertions"].as_array().unwrap().clone();
        let rules = self.section("Rules").values().filter(applies).flat_map(assertions);
        rules.filter(|it| self.evaluate(&it["Assert"]) != true).map(|it| text_of(&it["AssertDescription"])).collect()
    }

    fn condition(&self, name: &Value) -> bool {
        self.evaluate(&self.document["Conditions"][name.as_str().unwrap()]) == true
    }

    fn evaluate(&self, value: &Value) -> Value {
        match value {
            Value::Array(items) => items.iter().map(|it| self.evaluate(it)).filter(|it| !it.is_null()).collect(),
            Value::Object(members) => match members.iter().next() {
                Some((name, argument)) if name.starts_with('!') => self.call(name, argument),
                _ => {
                    let members = members.iter().map(|(name, it)| (name.clone(), self.evaluate(it)));
                    members.filter(|(_, it)| !it.is_null()).collect()
                }
            },
            _ => value.clone(),
        }
    }

    fn call(&self, function: &str, argument: &Value) -> Value {
        let evaluated = || self.evaluate(argument).as_array().unwrap().clone();
        match function {
            "!Ref" => self.reference(argument.as_str().unwrap()).map_or(Value::Null, Value::from),
            "!GetAtt" => argument.clone(),
            "!Sub" => match argument {
                Value::Array(parts) => self.substitute(parts[0].as_str().unwrap(), &self.evaluate(&parts[1])).into(),
                _ => self.substitute(argument.as_str().unwrap(), &Value::Null).into(),
            },
            "!If" => self.evaluate(&argument[if self.condition(&argument[0]) { 1 } else { 2 }]),
            "!FindInMap" => match evaluated().as_slice() {
                [map, first, second] => {
                    self.document["Mappings"][text_of(map)][text_of(first)][text_of(second)].clone()
                }
                other => panic!("{other:?}"),
            },
            "!Equals" => evaluated().windows(2).all(|it| text_of(&it[0]) == text_of(&it[1])).into(),
            "!And" => evaluated().iter().all(|it| it == true).into(),
            "!Condition" => self.condition(argument).into(),
            "!Or" => evaluated().iter().any(|it| it == true).into(),
            "!Not" => evaluated().iter().all(|it| it == false).into(),
            _ => panic!("CloudFormation has no function `{function}`"),
        }
    }

    /// A parameter's value or a resource's id; nothing for `AWS::NoValue`.
    fn reference(&self, name: &str) -> Option<String> {
        match name {
            "AWS::NoValue" => None,
            "AWS::StackName" | "Function" => Some(STACK.to_owned()),
            _ => Some(self.parameters.get(name).map_or(name, String::as_str).to_owned()),
        }
    }

    /// Replaces each `${NAME}`, and makes `${NAME}` of `${!NAME}`.
    fn substitute(&self, text: &str, variables: &Value) -> String {
        let mut parts = text.split("${");
        let mut result = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            if let Some(literal) = name.strip_prefix('!') {
                result.extend(["${", literal, "}"]);
            } else {
                result += &variables.get(name).map_or_else(|| self.reference(name).unwrap(), text_of);
            }
            result += rest;
        }
        result
    }
}

/// A scalar as CloudFormation compares it.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A tag becomes an object: `!Ref X` becomes `{"!Ref": "X"}`.
fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(text)) => text.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(to_json).collect(),
        Yaml::Mapping(members) => {
            members.iter().map(|(name, it)| (text_of(&to_json(name)), to_json(it))).collect::<Map<_, _>>().into()
        }
        Yaml::Tagged(tag, inner) => {
            [(format!("!{}", tag.suffix), to_json(inner))].into_iter().collect::<Map<_, _>>().into()
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => panic!("{yaml:?}"),
    }
}
