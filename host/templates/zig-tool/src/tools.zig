//! {{name}}: tools for aos-host.
const std = @import("std");
const aos = @import("aos.zig");

const CountWords = struct {
    text: []const u8,
    letters_max: ?i64 = null,

    pub const describe = .{
        .text = "The text to count.",
        .letters_max = "Count words that are no longer than this only.",
    };
};

const Counts = struct { words: u64, distinct: u64 };

fn countWords(context: *aos.Context, in: CountWords) anyerror!Counts {
    if (in.letters_max) |most| {
        if (most < 1) return context.invalid("$.letters_max: expected at least 1", .{});
    }
    var seen = std.StringHashMap(void).init(context.arena);
    var words: u64 = 0;
    var parts = std.mem.tokenizeAny(u8, in.text, &std.ascii.whitespace);
    while (parts.next()) |word| {
        const letters = std.unicode.utf8CountCodepoints(word) catch word.len;
        if (in.letters_max) |most| if (letters > most) continue;
        words += 1;
        try seen.put(word, {});
    }
    return .{ .words = words, .distinct = seen.count() };
}

pub const tools = .{
    .count_words = .{
        .description = "Counts the words of a text.",
        .run = countWords,
        .read_only = true,
        .idempotent = true,
    },
};

comptime {
    aos.register(@This());
}

fn expect(arguments: []const u8, expected: []const u8) !void {
    var arena = std.heap.ArenaAllocator.init(std.testing.allocator);
    defer arena.deinit();
    var context: aos.Context = .{ .arena = arena.allocator() };
    const answer = aos.call(@This(), &context, "count_words", arguments) catch {
        return std.testing.expectEqualStrings(expected, context.message);
    };
    try std.testing.expectEqualStrings(expected, answer.text);
}

test "words are counted" {
    try expect("{\"text\":\"to be or not to be\"}", "{\"words\":6,\"distinct\":4}");
    try expect("{\"text\":\"a bb ccc\",\"letters_max\":2}", "{\"words\":2,\"distinct\":2}");
}

test "a limit of nothing is an invalid argument" {
    try expect("{\"text\":\"a\",\"letters_max\":0}", "$.letters_max: expected at least 1");
}
