//! Tools from functions: the struct of arguments becomes a JSON Schema while it is compiled.
//!
//!     pub const tools = .{
//!         .halve = .{ .description = "Halves a number.", .run = halve, .read_only = true },
//!     };
//!     comptime { aos.register(@This()); }
//!
//! A field with a default, or an optional one, may be left out. `pub const describe = .{ .field =
//! "…" }` in the struct describes its fields. A tool returns text (`[]const u8`), or a struct. An
//! error reaches the caller as `failed`; `context.invalid` and `context.unavailable` say more.
const std = @import("std");
const builtin = @import("builtin");

/// One call: its memory, and the sentence of its error.
pub const Context = struct {
    /// Given back when the call ends.
    arena: std.mem.Allocator,
    message: []const u8 = "",

    /// An argument that passes the schema and still does not fit.
    pub fn invalid(self: *Context, comptime format: []const u8, values: anytype) anyerror {
        self.message = std.fmt.allocPrint(self.arena, format, values) catch "";
        return error.InvalidArguments;
    }

    /// What the tool depends on did not answer; later may help.
    pub fn unavailable(self: *Context, comptime format: []const u8, values: anytype) anyerror {
        self.message = std.fmt.allocPrint(self.arena, format, values) catch "";
        return error.Unavailable;
    }

    /// The tool could not do it.
    pub fn failed(self: *Context, comptime format: []const u8, values: anytype) anyerror {
        self.message = std.fmt.allocPrint(self.arena, format, values) catch "";
        return error.Failed;
    }
};

pub const Answer = struct { text: []const u8, is_structured: bool };

/// Calls a tool of `plugin` with the text of its arguments.
pub fn call(comptime plugin: type, context: *Context, name: []const u8, arguments: []const u8) anyerror!Answer {
    inline for (comptime std.meta.fieldNames(@TypeOf(plugin.tools))) |known| {
        if (std.mem.eql(u8, known, name)) return one(@field(plugin.tools, known).run, context, arguments);
    }
    context.message = std.fmt.allocPrint(context.arena, "there is no tool {s}", .{name}) catch "";
    return error.UnknownTool;
}

fn one(comptime run: anytype, context: *Context, arguments: []const u8) anyerror!Answer {
    const In = Input(run);
    const in = std.json.parseFromSliceLeaky(In, context.arena, arguments, .{}) catch |err| {
        return context.invalid("the arguments do not fit: {s}", .{@errorName(err)});
    };
    const out = try run(context, in);
    if (@TypeOf(out) == []const u8) return .{ .text = out, .is_structured = false };
    const text = try std.json.Stringify.valueAlloc(context.arena, out, .{});
    return .{ .text = text, .is_structured = true };
}

fn Input(comptime run: anytype) type {
    return @typeInfo(@TypeOf(run)).@"fn".param_types[1].?;
}

fn Output(comptime run: anytype) type {
    return @typeInfo(@typeInfo(@TypeOf(run)).@"fn".return_type.?).error_union.payload;
}

/// The JSON Schema of a type.
pub fn schema(comptime T: type) []const u8 {
    return switch (@typeInfo(T)) {
        .bool => "{\"type\":\"boolean\"}",
        .int => std.fmt.comptimePrint(
            "{{\"type\":\"integer\",\"minimum\":{d},\"maximum\":{d}}}",
            .{ std.math.minInt(T), std.math.maxInt(T) },
        ),
        .float => "{\"type\":\"number\"}",
        .optional => |inner| schema(inner.child),
        .@"enum" => "{\"enum\":[" ++ comptime names(T) ++ "]}",
        .pointer => |to| if (to.child == u8)
            "{\"type\":\"string\"}"
        else
            "{\"type\":\"array\",\"items\":" ++ comptime schema(to.child) ++ "}",
        .@"struct" => comptime object(T),
        else => @compileError(@typeName(T) ++ " has no JSON schema"),
    };
}

fn names(comptime T: type) []const u8 {
    comptime var all: []const u8 = "";
    inline for (comptime std.meta.fieldNames(T)) |name| {
        all = all ++ (if (all.len > 0) "," else "") ++ "\"" ++ name ++ "\"";
    }
    return all;
}

fn object(comptime T: type) []const u8 {
    const info = @typeInfo(T).@"struct";
    comptime var properties: []const u8 = "";
    comptime var required: []const u8 = "";
    inline for (info.field_names, info.field_types, info.field_attrs) |name, Field, attributes| {
        var property: []const u8 = comptime schema(Field);
        if (@hasDecl(T, "describe") and @hasField(@TypeOf(T.describe), name)) {
            const text = comptime quoted(@field(T.describe, name));
            property = property[0 .. property.len - 1] ++ ",\"description\":" ++ text ++ "}";
        }
        properties = properties ++ (if (properties.len > 0) "," else "") ++ "\"" ++ name ++ "\":" ++ property;
        if (attributes.defaultValue(Field) == null and @typeInfo(Field) != .optional) {
            required = required ++ (if (required.len > 0) "," else "") ++ "\"" ++ name ++ "\"";
        }
    }
    return "{\"type\":\"object\",\"properties\":{" ++ properties ++ "},\"required\":[" ++ required ++
        "],\"additionalProperties\":false}";
}

fn quoted(comptime text: []const u8) []const u8 {
    comptime var out: []const u8 = "\"";
    inline for (text) |c| {
        if (c < 0x20) @compileError("a description has no control characters");
        out = out ++ (if (c == '"' or c == '\\') "\\" else "") ++ [_]u8{c};
    }
    return out ++ "\"";
}

/// Gives the tools of `plugin` to the host. Once, where the plugin begins.
pub fn register(comptime plugin: type) void {
    if (!builtin.target.cpu.arch.isWasm()) return;
    const abi = Abi(plugin);
    @export(&abi.definitions, .{ .name = "aos:tool/tools@0.1.0#definitions" });
    @export(&abi.call, .{ .name = "aos:tool/tools@0.1.0#call" });
    @export(&abi.realloc, .{ .name = "cabi_realloc" });
}

/// The contract by its canonical ABI: records as they lie in memory of 32 bits.
fn Abi(comptime plugin: type) type {
    return struct {
        const allocator = std.heap.wasm_allocator;

        const Text = extern struct {
            data: [*]const u8,
            length: u32,

            fn of(text: []const u8) Text {
                return .{ .data = text.ptr, .length = @intCast(text.len) };
            }
        };
        const Optional = extern struct { some: u32 = 0, value: Text = Text.of("") };
        const Definition = extern struct {
            name: Text,
            title: Optional = .{},
            description: Text,
            input: Text,
            output: Optional = .{},
            read_only: bool,
            destructive: bool,
            idempotent: bool,
            open_world: bool,
        };
        const List = extern struct { data: *const anyopaque, length: u32 };
        const Content = extern struct { is: u32 = 0, text: Text, rest: [2]u32 = .{ 0, 0 } };
        const Done = extern struct { contents: List, structured: Optional };
        const Wrong = extern struct { is: u64, text: Text };
        // The largest case of an error holds u64s, so all lie at 8.
        const Result = extern struct {
            is_error: u64 = 0,
            body: extern union { done: Done, wrong: Wrong, all: [8]u64 },
        };

        const catalogue = made: {
            const all = std.meta.fieldNames(@TypeOf(plugin.tools));
            var list: [all.len]Definition = undefined;
            for (all, 0..) |name, i| {
                const about = @field(plugin.tools, name);
                const Out = Output(about.run);
                list[i] = .{
                    .name = Text.of(name),
                    .description = Text.of(about.description),
                    .input = Text.of(schema(Input(about.run))),
                    .output = if (@typeInfo(Out) == .@"struct") .{ .some = 1, .value = Text.of(schema(Out)) } else .{},
                    .read_only = promised(about, "read_only"),
                    .destructive = !promised(about, "read_only") and !promised(about, "additive"),
                    .idempotent = promised(about, "idempotent"),
                    .open_world = promised(about, "open_world"),
                };
            }
            break :made list;
        };
        const listed: List = .{ .data = &catalogue, .length = catalogue.len };

        fn promised(comptime about: anytype, comptime name: []const u8) bool {
            return @hasField(@TypeOf(about), name) and @field(about, name);
        }

        fn definitions() callconv(.c) *const List {
            return &listed;
        }

        fn call(name: [*]const u8, name_length: u32, text: [*]const u8, length: u32) callconv(.c) *const Result {
            var arena = std.heap.ArenaAllocator.init(allocator);
            // Every call has an instance of its own: what it used goes with it.
            var context: Context = .{ .arena = arena.allocator() };
            const out = context.arena.create(Result) catch @trap();
            const answer = outer(&context, name[0..name_length], text[0..length]) catch |err| {
                const is: u64 = switch (err) {
                    error.UnknownTool => 0,
                    error.InvalidArguments => 1,
                    error.Unavailable => 6,
                    else => 7,
                };
                const message = if (context.message.len > 0) context.message else @errorName(err);
                out.* = .{ .is_error = 1, .body = .{ .wrong = .{ .is = is, .text = Text.of(message) } } };
                return out;
            };
            const content = context.arena.create(Content) catch @trap();
            content.* = .{ .text = Text.of(answer.text) };
            const structured: Optional = if (answer.is_structured) .{ .some = 1, .value = Text.of(answer.text) } else .{};
            out.* = .{ .body = .{ .done = .{ .contents = .{ .data = content, .length = 1 }, .structured = structured } } };
            return out;
        }

        fn outer(context: *Context, name: []const u8, text: []const u8) anyerror!Answer {
            return tool_call(plugin, context, name, text);
        }

        fn realloc(old: ?[*]u8, old_size: usize, alignment: usize, size: usize) callconv(.c) [*]u8 {
            if (size == 0) return @ptrFromInt(alignment);
            const fresh = allocator.alignedAlloc(u8, .@"8", size) catch @trap();
            if (old) |before| @memcpy(fresh[0..@min(old_size, size)], before[0..@min(old_size, size)]);
            return fresh.ptr;
        }
    };
}

const tool_call = call;
