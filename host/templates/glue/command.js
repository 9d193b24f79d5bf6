// Between WASI and the program: made by `aos-host build`.
import { write } from "./console.js";
import { getStdout } from "wasi:cli/stdout@0.2.12";
import { getArguments } from "wasi:cli/environment@0.2.12";
import main from "SOURCE";

export const run = {
    run() {
        const print = (text) => write(getStdout(), `${text}\n`);
        if (main(getArguments().slice(1), print)) throw undefined;
    },
};
