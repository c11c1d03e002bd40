export { createRedriver, type Redriver, type RedriverDeps } from './redriver.ts';
