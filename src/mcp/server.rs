//! What the editor sees: instructions, tools, results and errors.

use super::{
    announce::{FRAME, messages},
    doors::Door,
    link::Link,
    order::{Guard, Place},
    results::{failure, is_awaited, success, with_name, without_claim},
    tools,
};
use crate::{
    error::{Error, Result},
    session::Window,
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::*,
    service::{NotificationContext, RequestContext},
};
use serde_json::{Map, Value};
use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The last revision with an `initialize` handshake and unsolicited notifications.
const REVISION: ProtocolVersion = ProtocolVersion::V_2025_11_25;
/// How long listing tools waits to learn what the key may do.
const LISTING: Duration = Duration::from_secs(2);

#[derive(Clone)]
pub struct Server {
    link: Arc<Link>,
    /// What the editor was last told.
    listed: Arc<Mutex<Option<Vec<Tool>>>>,
}

impl Server {
    pub fn new(link: Arc<Link>) -> Server {
        Server {
            link,
            listed: Arc::default(),
        }
    }

    async fn call(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        place: &Place,
    ) -> Result<(Value, Vec<String>)> {
        match name {
            "find_tools" => {
                place.give_up();
                let query = arguments
                    .get("query")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let manage = self.link.manage(LISTING).await;
                let found = tools::find(
                    &self.link.catalogue(),
                    self.link.options.shown,
                    manage,
                    query,
                );
                Ok((found, self.link.note().into_iter().collect()))
            }
            name => match Door::named(name) {
                Some(door) => {
                    let (inner, arguments) = door.inner(&arguments)?;
                    self.call_function(&inner, arguments, place, Some(door))
                        .await
                }
                None => self.call_function(name, arguments, place, None).await,
            },
        }
    }

    async fn call_function(
        &self,
        name: &str,
        arguments: Map<String, Value>,
        place: &Place,
        through: Option<Door>,
    ) -> Result<(Value, Vec<String>)> {
        // Before the look-up: the relay may have tools the embedded catalogue does not know.
        let live = self.link.live().await?;
        let catalogue = self.link.catalogue();
        let function = tools::function(&catalogue, name)?;
        if let Some(door) = through {
            door.check(function)?;
        }
        let announcer = &self.link.announcer;
        let peek = arguments.get("peek") == Some(&Value::Bool(true));
        let _waiting = is_awaited(function).then(|| Waiting::begin(self.link.clone()));
        let arguments = with_name(function, arguments);
        let result = place.call(&live.session, function, &arguments).await?;
        let result = without_claim(function, result);
        announcer.result(&result, peek);
        let mut notes = Vec::new();
        let reads = result["unread"].is_number();
        if reads && messages(&result).next().is_some() {
            notes.push(FRAME.to_owned());
        }
        if !reads {
            notes.extend(self.link.note());
        }
        Ok((result, notes))
    }

    async fn tools(&self) -> Vec<Tool> {
        let manage = self.link.manage(LISTING).await;
        tools::list(&self.link.catalogue(), self.link.options.shown, manage)
    }

    /// Whether the editor lists other tools than there are now that the relay has answered.
    async fn tools_changed(&self) -> bool {
        let tools = self.tools().await;
        self.listed()
            .as_ref()
            .is_some_and(|listed| *listed != tools)
    }

    fn listed(&self) -> MutexGuard<'_, Option<Vec<Tool>>> {
        self.listed
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn instructions(&self) -> String {
        let options = &self.link.options;
        let hidden = tools::has_hidden(&self.link.catalogue(), options.shown, true);
        let more = "* `find_tools`, then `call_tool` or `call_destructive_tool`, as its answer says: the tools not listed here (members, agents and whatever this mesh has besides).\n";
        include_str!("instructions.md")
            .replace(
                "{agent}",
                options.agent.as_deref().unwrap_or("(see whoami)"),
            )
            .replace("{mesh}", options.mesh.as_deref().unwrap_or("(see whoami)"))
            .replace("{more}", if hidden { more } else { "" })
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let channel =
            ExperimentalCapabilities::from([("claude/channel".to_owned(), JsonObject::new())]);
        let capabilities = ServerCapabilities::builder()
            .enable_experimental_with(channel)
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        let mut info = ServerConfig::new(capabilities).with_instructions(self.instructions());
        info.protocol_version = REVISION;
        info.server_info = Implementation::new("mesh", env!("CARGO_PKG_VERSION"));
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        ProtocolVersion::known_up_to(&REVISION).into()
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<InitializeResult, ErrorData> {
        let client = request.client_info.name.clone();
        if client == "claude-code" {
            self.link.announcer.use_channel(context.peer.clone());
        }
        let window = Window {
            editor: Some(client),
            cwd: std::env::current_dir()
                .ok()
                .map(|cwd| cwd.to_string_lossy().into_owned()),
            host: nix::unistd::gethostname()
                .ok()
                .and_then(|host| host.into_string().ok()),
            takeover: self.link.options.takeover,
        };
        let (server, peer) = (self.clone(), context.peer.clone());
        self.link.start(window, move || {
            let (server, peer) = (server.clone(), peer.clone());
            tokio::spawn(async move {
                if server.tools_changed().await {
                    let _ = peer.notify_tool_list_changed().await;
                }
            });
        });
        self.negotiate_initialize(&request)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<ListToolsResult, ErrorData> {
        let tools = self.tools().await;
        *self.listed() = Some(tools.clone());
        Ok(ListToolsResult::with_all_items(tools))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> std::result::Result<CallToolResponse, ErrorData> {
        let place = context.extensions.get::<Arc<Place>>();
        let place =
            place.ok_or_else(|| ErrorData::internal_error("a call without a place", None))?;
        let _guard = Guard(place);
        let call = self.call(&request.name, request.arguments.unwrap_or_default(), place);
        let result = tokio::select! {
            biased;
            () = context.ct.cancelled() => Err(Error::new(409, "cancelled")),
            result = call => result,
        };
        // Not with an answer that nobody reads.
        let is_read = !context.ct.is_cancelled();
        let news = is_read.then(|| self.link.news.take()).flatten();
        Ok(match result {
            Ok((value, notes)) => success(value, notes.into_iter().chain(news).collect()),
            Err(error) => failure(&error, self.link.note().into_iter().chain(news).collect()),
        }
        .into())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> std::result::Result<CustomResult, ErrorData> {
        // Parameters that are no tool call at all end here; the model should read why.
        if request.method == "tools/call" {
            let error = Error::new(
                400,
                "a tool call is {\"name\": text, \"arguments\": object}",
            );
            let mut result = failure(&error, Vec::new());
            result.result_type = None;
            let answer = serde_json::to_value(result).unwrap_or_default();
            return Ok(CustomResult::new(answer));
        }
        Err(ErrorData::new(
            ErrorCode::METHOD_NOT_FOUND,
            request.method,
            None,
        ))
    }

    async fn on_initialized(&self, _: NotificationContext<RoleServer>) {
        tracing::debug!("initialized");
    }
}

/// While it lives, mail that comes is announced by the result of the call that waits for it.
struct Waiting(Arc<Link>);

impl Waiting {
    fn begin(link: Arc<Link>) -> Waiting {
        link.announcer.begin_wait();
        Waiting(link)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let link = self.0.clone();
        tokio::spawn(async move { link.announcer.finish_wait().await });
    }
}
