// A component in JavaScript: nothing in it knows this host.
export const text = {
    slug(text) {
        return text.toLowerCase().match(/\w+/g).join("-");
    },
    async reach(what) {
        try {
            const response = await fetch(what);
            return await response.text();
        } catch (error) {
            throw String(error);
        }
    },
};
