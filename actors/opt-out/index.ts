export { optOutsOf, saysStop } from './opt-out.ts';
