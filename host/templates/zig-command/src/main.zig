//! {{name}}: greets who its arguments name.
const std = @import("std");

pub fn main(init: std.process.Init) !void {
    var buffer: [1024]u8 = undefined;
    var file = std.Io.File.stdout().writer(init.io, &buffer);
    const out = &file.interface;
    var words = try init.minimal.args.iterateAllocator(init.gpa);
    defer words.deinit();
    _ = words.skip();
    try out.print("Hello, {s}", .{words.next() orelse "world"});
    while (words.next()) |word| try out.print(" and {s}", .{word});
    try out.writeAll("!\n");
    try out.flush();
}
