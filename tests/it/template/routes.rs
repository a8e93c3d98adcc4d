//! Checks which requests the gateway sends to the function and which to a backend.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cloudformation::Template;
use super::{list, text};

const BACKEND: (&str, &str) = ("BackendUrl", "https://backend.example.com/hooks");
const BOTH: (&str, &str) = ("GatedHooks", "OnCallEvent,call");

/// The name of the integration of each route, by its key.
fn routes(given: &[(&str, &str)]) -> BTreeMap<String, String> {
    let template = Template::with(given);
    let integrations = template.created("AWS::ApiGatewayV2::Integration");
    let routes = template.created("AWS::ApiGatewayV2::Route").into_values();
    routes
        .map(|it| {
            assert_eq!(it["ApiId"], "Gateway");
            let target = text(&it["Target"]).strip_prefix("integrations/").unwrap().to_owned();
            assert!(integrations.contains_key(&target), "{it} with {given:?}");
            (text(&it["RouteKey"]).to_owned(), target)
        })
        .collect()
}

#[track_caller]
fn check(given: &[(&str, &str)], expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(key, target)| ((*key).to_owned(), (*target).to_owned())).collect();
    assert_eq!(routes(given), expected, "{given:?}");
}

#[test]
fn without_a_backend_all_hooks_go_to_the_function() {
    for gated in [("GatedHooks", "OnCallEvent"), BOTH] {
        for other in [("OtherHooks", "echo"), ("OtherHooks", "refuse"), ("HookPath", "/hooks")] {
            check(&[gated, other], &[("ANY /{proxy+}", "FunctionIntegration")]);
        }
    }
}

#[test]
fn with_a_backend_only_gated_hooks_go_to_the_function() {
    let (gated, other) = (("ANY /rest/my_api/OnCallEvent", "FunctionIntegration"), "BackendIntegration");
    check(&[BACKEND], &[gated, ("ANY /rest/my_api/{proxy+}", other)]);
    check(&[BACKEND, ("OtherHooks", "refuse")], &[gated, ("ANY /rest/my_api/{proxy+}", other)]);
    let call = ("ANY /rest/my_api/call", "FunctionIntegration");
    check(&[BACKEND, BOTH], &[gated, call, ("ANY /rest/my_api/{proxy+}", other)]);
    check(
        &[BACKEND, BOTH, ("HookPath", "/a/b")],
        &[
            ("ANY /a/b/OnCallEvent", "FunctionIntegration"),
            ("ANY /a/b/call", "FunctionIntegration"),
            ("ANY /a/b/{proxy+}", other),
        ],
    );
}

/// Every value of `GatedHooks`: a hook that the function decides never goes to the backend, at no moment of an update.
#[test]
fn a_gated_hook_has_a_route_before_the_backend_has_one() {
    let template = Template::with(&[]);
    let values = list(&template.section("Parameters")["GatedHooks"]["AllowedValues"]);
    assert!(values.len() >= 2, "{values:?}");
    for gated in values.iter().map(text) {
        let template = Template::with(&[BACKEND, ("GatedHooks", gated)]);
        let function = template.resources("AWS::Serverless::Function").remove(0);
        assert_eq!(function["Environment"]["Variables"]["GATED_HOOKS"], gated);
        let created = template.created("AWS::ApiGatewayV2::Route");
        let before = template.metadata("OtherHooksRoute")["After"].clone();
        let keys = list(&before).iter().map(|name| text(&created[text(name)]["RouteKey"]));
        let expected: Vec<String> = gated.split(',').map(|hook| format!("ANY /rest/my_api/{hook}")).collect();
        assert_eq!(keys.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn integrations_keep_what_wcs_sends() {
    let integrations = Template::with(&[BACKEND]).created("AWS::ApiGatewayV2::Integration");
    assert_eq!(
        integrations["BackendIntegration"],
        json!({
            "ApiId": "Gateway",
            "IntegrationType": "HTTP_PROXY",
            "IntegrationMethod": "ANY",
            "IntegrationUri": "https://backend.example.com/hooks/{proxy}",
            "PayloadFormatVersion": "1.0",
            "TimeoutInMillis": 14000,
        })
    );
    for given in [&[BACKEND][..], &[]] {
        let integrations = Template::with(given).created("AWS::ApiGatewayV2::Integration");
        assert_eq!(integrations.len(), given.len() + 1);
        assert_eq!(
            integrations["FunctionIntegration"],
            json!({
                "ApiId": "Gateway",
                "IntegrationType": "AWS_PROXY",
                "IntegrationUri": "Function.Alias",
                "PayloadFormatVersion": "2.0",
                "TimeoutInMillis": 6000,
            })
        );
    }
}

#[test]
fn only_this_gateway_may_invoke_the_function() {
    for given in [&[BACKEND, BOTH][..], &[]] {
        let permissions = Template::with(given).resources("AWS::Lambda::Permission");
        assert_eq!(
            permissions,
            [json!({
                "FunctionName": "Function.Alias",
                "Action": "lambda:InvokeFunction",
                "Principal": "apigateway.amazonaws.com",
                "SourceArn": "arn:AWS::Partition:execute-api:AWS::Region:AWS::AccountId:Gateway/*",
            })]
        );
    }
}

#[test]
fn the_stage_deploys_throttles_and_logs() {
    for given in [&[BACKEND, BOTH, ("ThrottlingRate", "7")][..], &[("ThrottlingRate", "7")]] {
        let stages = Template::with(given).resources("AWS::ApiGatewayV2::Stage");
        let [stage] = stages.as_slice() else { panic!("{stages:?}") };
        assert_eq!((&stage["StageName"], &stage["AutoDeploy"]), (&json!("$default"), &json!(true)));
        assert_eq!(
            stage["DefaultRouteSettings"],
            json!({ "ThrottlingRateLimit": "7", "ThrottlingBurstLimit": "1000" })
        );
        assert_eq!(stage["AccessLogSettings"]["DestinationArn"], "GatewayLog.Arn");
        // Settings of a route would replace those of the stage.
        assert_eq!(stage.get("RouteSettings"), None);
    }
}

#[test]
fn outputs_use_the_hook_path() {
    let url = "Gateway.ApiEndpoint/a/b";
    let outputs = Template::with(&[("HookPath", "/a/b")]).outputs();
    assert_eq!(outputs["AppUrl"], url);
    assert_eq!(outputs["Next3Connect"], format!("update app -l \"{url}\" defaultApp"));
    let rehearse = text(&outputs["Next2Rehearse"]);
    assert!(rehearse.starts_with(&format!("callgatectl wcs-simulator {url} --app defaultApp ")), "{rehearse}");
    let everything: Vec<&Value> = outputs.values().collect();
    assert!(everything.iter().all(|it| !text(it).contains("my_api")), "{everything:?}");
}
