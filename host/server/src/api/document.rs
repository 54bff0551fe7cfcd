//! The API's own description (OpenAPI 3.1), made from the operations themselves.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use samspel_operations::{Operation, Route};
use samspel_sync::Snapshot;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, HttpMethod, InfoBuilder, License, OpenApi, OpenApiBuilder,
    Paths, Ref, RefOr, Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use super::requests;
use crate::problem::Problem;

const TOKEN: &str = "token";
const PROBLEM: &str = "Problem";

/// Collects what there is to describe.
pub(super) struct Builder {
    paths: Paths,
    schemas: BTreeMap<String, RefOr<Schema>>,
    /// Names that mean several things, which a test forbids.
    ambiguous: BTreeSet<String>,
}

impl Builder {
    pub fn new() -> Self {
        Self {
            paths: Paths::new(),
            schemas: BTreeMap::new(),
            ambiguous: BTreeSet::new(),
        }
    }

    /// Describes an operation at its path.
    pub fn add<O: Operation>(&mut self, path: &str) {
        let route = O::ROUTE;
        let input = object(O::schema());
        let mut nested = Vec::new();
        O::schemas(&mut nested);
        <O::Output as ToSchema>::schemas(&mut nested);
        nested.push((O::Output::name().into_owned(), O::Output::schema()));
        if route.long {
            Snapshot::schemas(&mut nested);
            nested.push((Snapshot::name().into_owned(), Snapshot::schema()));
        }
        for (name, schema) in nested {
            let schema = exclusive(schema);
            let known = self.schemas.insert(name.clone(), schema.clone());
            if known.is_some_and(|known| known != schema) {
                self.ambiguous.insert(name);
            }
        }

        let mut operation = OperationBuilder::new()
            .operation_id(Some(route.id))
            .tag(route.group)
            .summary(Some(route.summary))
            .description(Some(described(&route, input.description.as_deref())))
            .security(SecurityRequirement::new(TOKEN, Vec::<String>::new()));
        let mut body = input.clone();
        for field in route.fields() {
            body.properties.remove(field);
            body.required.retain(|required| required != field);
            let schema = input.properties.get(field).cloned();
            let parameter = ParameterBuilder::new()
                .name(field)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(description(schema.as_ref()))
                .schema(schema.map(in_path));
            operation = operation.parameter(parameter);
        }
        if route.method == Method::GET {
            for (name, schema) in &body.properties {
                let required = body.required.contains(name);
                let parameter = ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(if required {
                        Required::True
                    } else {
                        Required::False
                    })
                    .description(description(Some(schema)))
                    .schema(Some(without_null(schema.clone())));
                operation = operation.parameter(parameter);
            }
        } else {
            operation = operation.parameter(key());
            if !body.properties.is_empty() {
                let required = if body.required.is_empty() {
                    Required::False
                } else {
                    Required::True
                };
                body.description = None;
                let content = ContentBuilder::new()
                    .schema(Some(RefOr::T(Schema::Object(body))))
                    .build();
                operation = operation.request_body(Some(
                    RequestBodyBuilder::new()
                        .content("application/json", content)
                        .required(Some(required))
                        .build(),
                ));
            }
        }
        operation = operation.response("200", done::<O>(&route));
        for (status, what) in problems(&route) {
            operation = operation.response(status, problem(what));
        }
        if let Some(method) = method(&route.method) {
            self.paths
                .add_path_operation(path, vec![method], operation.build());
        }
    }

    /// The whole description.
    pub fn finish(mut self) -> OpenApi {
        self.schemas.insert(PROBLEM.to_owned(), Problem::schema());
        let token = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "A token that `samspel token create` made on the host's machine. Requests that only look (GET) may send it \
                 as the password of HTTP Basic, for browsers.",
            ))
            .build();
        let info = InfoBuilder::new()
            .title("Samspel")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some(
                "Everything that the command line can do. Each request needs a token with the role that the operation \
                 names; a viewer looks, an operator also decides and runs, an admin also changes accounts and tokens.\n\n\
                 Long operations answer at their end, or, to whoever accepts `text/event-stream`, with events: `progress` \
                 while they are under way, then one `result` or `problem`. They go on to their end if the connection is \
                 lost.",
            ))
            .license(Some(License::new("Apache-2.0 OR MIT")))
            .build();
        OpenApiBuilder::new()
            .info(info)
            .paths(self.paths)
            .components(Some(
                ComponentsBuilder::new()
                    .schemas_from_iter(self.schemas)
                    .security_scheme(TOKEN, SecurityScheme::Http(token))
                    .build(),
            ))
            .build()
    }
}

/// The fields of an operation.
fn object(schema: RefOr<Schema>) -> utoipa::openapi::Object {
    match schema {
        RefOr::T(Schema::Object(object)) => object,
        // Every operation is a structure with named fields, which the test below holds.
        _ => ObjectBuilder::new().build(),
    }
}

/// A choice that is made by the name of its only field has no other fields.
fn exclusive(schema: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(mut choice)) = schema else {
        return schema;
    };
    for item in &mut choice.items {
        if let RefOr::T(Schema::Object(object)) = item
            && object.properties.len() == 1
            && object.required.len() == 1
        {
            let nothing_else = || Some(Box::new(AdditionalProperties::FreeForm(false)));
            object.additional_properties = nothing_else();
            for chosen in object.properties.values_mut() {
                if let RefOr::T(Schema::Object(chosen)) = chosen
                    && !chosen.properties.is_empty()
                {
                    chosen.additional_properties = nothing_else();
                }
            }
        }
    }
    RefOr::T(Schema::OneOf(choice))
}

fn described(route: &Route, what: Option<&str>) -> String {
    format!("{}\n\nRole: {}.", what.unwrap_or(route.summary), route.role)
}

fn description(schema: Option<&RefOr<Schema>>) -> Option<String> {
    match schema? {
        RefOr::T(Schema::Object(object)) => object.description.clone(),
        RefOr::T(Schema::OneOf(of)) => of.description.clone(),
        RefOr::Ref(reference) if !reference.description.is_empty() => {
            Some(reference.description.clone())
        }
        _ => None,
    }
}

/// A segment of a path is never empty, and no dots that programs resolve.
fn in_path(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if object.pattern.is_none() && object.schema_type == SchemaType::new(Type::String) {
                object.min_length = Some(1);
                object.pattern = Some("^[A-Za-z0-9][A-Za-z0-9_.@+-]*$".to_owned());
            }
            RefOr::T(Schema::Object(object))
        }
        other => other,
    }
}

/// Nothing is said in a query by leaving it out.
fn without_null(schema: RefOr<Schema>) -> RefOr<Schema> {
    match schema {
        RefOr::T(Schema::Object(mut object)) => {
            if let SchemaType::Array(types) = &object.schema_type
                && let [one] = types
                    .iter()
                    .filter(|known| **known != Type::Null)
                    .collect::<Vec<_>>()
                    .as_slice()
            {
                object.schema_type = SchemaType::Type((*one).clone());
            }
            RefOr::T(Schema::Object(object))
        }
        RefOr::T(Schema::OneOf(of)) => {
            let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::new(Type::Null));
            let mut items: Vec<_> = of.items.iter().filter(|item| !is_null(item)).collect();
            match (items.pop(), items.is_empty()) {
                (Some(only), true) => only.clone(),
                _ => RefOr::T(Schema::OneOf(of)),
            }
        }
        other => other,
    }
}

fn key() -> ParameterBuilder {
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A request that is sent again under the same key is not done again: it is answered as before, for a day.",
        ))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
                .max_length(Some(requests::LONGEST))
                .pattern(Some("^[!-~]+$")),
        ))
}

fn done<O: Operation>(route: &Route) -> Response {
    let of = |name: &str| {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(name)))
            .build()
    };
    let mut response = ResponseBuilder::new()
        .description(route.summary)
        .content("application/json", of(&O::Output::name()));
    if route.long {
        let events = ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).description(Some(
                "Events: `progress` (a Snapshot each), then one `result` (as application/json) or `problem` (a Problem).",
            ))))
            .build();
        response = response.content("text/event-stream", events);
    }
    response.build()
}

fn problem(what: &str) -> Response {
    ResponseBuilder::new()
        .description(what)
        .content(
            "application/problem+json",
            ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(PROBLEM)))
                .build(),
        )
        .build()
}

/// What can go wrong (RFC 9457).
fn problems(route: &Route) -> Vec<(&'static str, &'static str)> {
    let mut problems = vec![
        ("400", "The request is not understood."),
        ("401", "There is no token, or none that is known."),
        ("403", "The token does not allow it."),
        ("404", "What was asked for is not there."),
        (
            "409",
            "It cannot be done as things are: somebody else works on the sync, it is paused, or somebody must agree first.",
        ),
        ("422", "It is understood and makes no sense."),
        (
            "424",
            "A remote does not accept the account, or a connector failed.",
        ),
        (
            "429",
            "Too many requests from here came with a wrong token.",
        ),
        ("500", "Something failed that the host's log explains."),
        ("503", "A remote or the host is not ready; worth a retry."),
    ];
    if route.method != Method::GET {
        problems.extend([
            ("408", "The request did not arrive in time."),
            ("413", "The request is too large."),
            ("415", "The body is not JSON."),
        ]);
    }
    problems
}

fn method(method: &Method) -> Option<HttpMethod> {
    match method.as_str() {
        "GET" => Some(HttpMethod::Get),
        "POST" => Some(HttpMethod::Post),
        "DELETE" => Some(HttpMethod::Delete),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use samspel_operations::catalogue;
    use serde_json::Value;

    use super::*;

    struct All(Builder, usize);

    impl catalogue::Visitor for All {
        fn visit<O: Operation>(&mut self) {
            let fields = object(O::schema()).properties;
            for field in O::ROUTE.fields() {
                assert!(fields.contains_key(field), "{}: {field}", O::ROUTE.id);
            }
            self.0.add::<O>(O::ROUTE.path);
            self.1 += 1;
        }
    }

    fn document() -> (Value, usize) {
        let mut all = All(Builder::new(), 0);
        catalogue::each(&mut all);
        assert_eq!(all.0.ambiguous, BTreeSet::new());
        (serde_json::to_value(all.0.finish()).unwrap(), all.1)
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(name)) = object.get("$ref") {
                    found.insert(name.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_operation_is_described() {
        let (document, count) = document();
        let described: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|path| path.as_object().unwrap().len())
            .sum();
        assert_eq!(described, count);
        assert!(count > 40);
    }

    #[test]
    fn whatever_is_referred_to_is_there() {
        let (document, _) = document();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
