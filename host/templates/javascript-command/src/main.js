// {{name}}: greets who its arguments name. What is returned and is not 0 is a failure.

export const greeting = (names) => `Hello, ${names.join(" and ") || "world"}!`;

export default function main(words, print) {
    print(greeting(words));
}
